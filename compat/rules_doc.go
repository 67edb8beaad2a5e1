package compat

import (
	"fmt"
	"strings"

	"github.com/corecheck/corecheck/compat/internal/page"
)

//go:generate go run ./internal/rulesdoc ../docs/rules.md

// RuleByName returns the rule with this code or name, in any case; nil where there is none.
func RuleByName(name string) *Rule {
	for _, r := range rules {
		if strings.EqualFold(name, r.Code) || strings.EqualFold(name, r.Name) {
			return r
		}
	}
	return nil
}

// Explain is the rule's text for people, wrapped to the page.
func (r *Rule) Explain() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s: %s\n", r.Code, r.Name, r.Title)
	for _, p := range strings.Split(paragraphs(r.Doc), "\n\n") {
		b.WriteByte('\n')
		for _, l := range page.Wrap(p, page.Width) {
			b.WriteString(l + "\n")
		}
	}
	return b.String()
}

// RulesMarkdown is docs/rules.md: the text of every rule.
func RulesMarkdown() string {
	var b strings.Builder
	b.WriteString(`# The rules

<!-- Written by go generate from the rules in compat/. -->

What a finding's code means, how it is known, and what to do. ` + "`corecheck explain CODE`" + ` prints the same. A code is never
used for something else. Each rule has a fixture in [testdata/rules](../testdata/rules): the program that it is about, and
a twin in which it finds nothing.

| code | name | finding |
| --- | --- | --- |
`)
	for _, r := range rules {
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %s |\n", r.Code, strings.ToLower(r.Code), r.Name, markdown(r.Title))
	}
	for _, r := range rules {
		fmt.Fprintf(&b, "\n## %s\n\n**%s** (`%s`)\n\n%s\n", r.Code, markdown(r.Title), r.Name, markdown(paragraphs(r.Doc)))
	}
	return b.String()
}

// paragraphs puts the last line of a rule's text, its source, into a paragraph of its own.
func paragraphs(doc string) string {
	return strings.Replace(doc, "\nSource: ", "\n\nSource: ", 1)
}

// markdown keeps characters of C from being taken for markup.
func markdown(s string) string {
	return strings.NewReplacer(`_`, `\_`, `*`, `\*`, `<`, `&lt;`).Replace(s)
}
