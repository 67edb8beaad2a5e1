package compat

import (
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func readDoc(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestRulesDocCurrent(t *testing.T) {
	t.Parallel()
	text := readDoc(t, "rules.md")
	if text != RulesMarkdown() {
		t.Error("docs/rules.md is not what the rules say: run go generate ./compat")
	}
	var codes []string
	for _, m := range regexp.MustCompile(`(?m)^## (CC[0-9]{3})$`).FindAllStringSubmatch(text, -1) {
		codes = append(codes, m[1])
	}
	var want []string
	for _, r := range Rules() {
		want = append(want, r.Code)
	}
	if !slices.Equal(codes, want) {
		t.Errorf("docs/rules.md has %v, the rules are %v", codes, want)
	}
}

// What explain prints is the rule's text, and fits the page.
func TestExplain(t *testing.T) {
	t.Parallel()
	for _, r := range Rules() {
		text := r.Explain()
		checkText(t, r.Code, text)
		title, body, _ := strings.Cut(text, "\n")
		if title != r.Code+" "+r.Name+": "+r.Title {
			t.Errorf("%s: title %q", r.Code, title)
		}
		if got, want := strings.Join(strings.Fields(body), " "), strings.Join(strings.Fields(r.Doc), " "); got != want {
			t.Errorf("%s: text\n%s\nwant\n%s", r.Code, got, want)
		}
	}
}

func TestRuleByName(t *testing.T) {
	t.Parallel()
	for _, r := range Rules() {
		for _, name := range []string{r.Code, r.Name, strings.ToLower(r.Code), strings.ToUpper(r.Name)} {
			if got := RuleByName(name); got != r {
				t.Errorf("RuleByName(%q) is not %s", name, r.Code)
			}
		}
	}
	for _, name := range []string{"", "CC", "CC999", "field"} {
		if r := RuleByName(name); r != nil {
			t.Errorf("RuleByName(%q) = %s", name, r.Code)
		}
	}
}

// fields calls f with each JSON field of a struct, and of those in it, and the name of its type.
func fields(typ reflect.Type, seen map[reflect.Type]bool, f func(typ, field string, goType reflect.Type)) {
	for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
		typ = typ.Elem()
	}
	if typ.Kind() != reflect.Struct || seen[typ] {
		return
	}
	seen[typ] = true
	for i := range typ.NumField() {
		if !typ.Field(i).IsExported() {
			continue
		}
		name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
		f(typ.Name(), name, typ.Field(i).Type)
		fields(typ.Field(i).Type, seen, f)
	}
}

// docTypes are the sections of docs/report.md, by the type that they describe.
var docTypes = map[string]string{
	"Report": "The report", "KernelInfo": "kernels[]", "ObjectReport": "objects[]", "ProgramReport": "objects[].programs[]",
	"ProgramResult": "objects[].programs[].results[]", "ObjectResult": "objects[].results[]", "Finding": "findings[]",
	"NeedRef": "findings[].need", "LeftOut": "objects[].left_out[]", "SourceRef": "findings[].source", "Coverage": "coverage", "InputError": "errors[]",
	"NeedsReport": "The list of needs", "ObjectNeeds": "needs: objects[]", "ProgramInfo": "needs: objects[].programs[]",
	"MapInfo": "needs: objects[].maps[]", "NeedInfo": "needs: objects[].needs[]",
}

// Every field of the JSON forms is described in the section of its type, and nothing else is.
func TestReportDoc(t *testing.T) {
	t.Parallel()
	text := readDoc(t, "report.md")
	sections := make(map[string]string)
	for _, s := range regexp.MustCompile(`(?m)^##+ `).Split(text, -1) {
		title, body, _ := strings.Cut(s, "\n")
		sections[strings.ReplaceAll(title, "`", "")] = body
	}
	row := regexp.MustCompile("(?m)^\\| `([a-z0-9_]+)` \\| ([a-z ]+) \\| \\S")
	described := make(map[string][]string)
	have := make(map[string][]string)
	seen := make(map[reflect.Type]bool)
	note := func(typ, field string, goType reflect.Type) {
		have[typ] = append(have[typ], field)
		if docTypes[typ] == "" {
			t.Errorf("type %s has no section in docs/report.md", typ)
		}
		body := sections[docTypes[typ]]
		for _, m := range row.FindAllStringSubmatch(body, -1) {
			if m[1] == field {
				if want := jsonType(goType); m[2] != want {
					t.Errorf("docs/report.md: %s.%s is %q there, want %q", docTypes[typ], field, m[2], want)
				}
			}
		}
	}
	fields(reflect.TypeFor[Report](), seen, note)
	fields(reflect.TypeFor[NeedsReport](), seen, note)
	for typ, title := range docTypes {
		for _, m := range row.FindAllStringSubmatch(sections[title], -1) {
			described[typ] = append(described[typ], m[1])
		}
		if !slices.Equal(described[typ], have[typ]) {
			t.Errorf("docs/report.md: section %q describes %v, the fields of %s are %v", title, described[typ], typ, have[typ])
		}
	}
	for _, name := range []string{Schema, NeedsSchema} {
		if !strings.Contains(text, "`"+name+"`") {
			t.Errorf("docs/report.md does not name %s", name)
		}
	}
}

// jsonType is what a Go type is called in the document.
func jsonType(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return jsonType(t.Elem())
	case reflect.Slice:
		return "list of " + jsonType(t.Elem()) + "s"
	case reflect.Struct:
		return "object"
	case reflect.Bool:
		return "bool"
	case reflect.String:
		return "string"
	}
	return "number"
}

// The example is real JSON of the form that the document describes.
func TestReportExample(t *testing.T) {
	t.Parallel()
	m := regexp.MustCompile("(?s)```json\n(.*?)```").FindStringSubmatch(readDoc(t, "report.md"))
	if m == nil {
		t.Fatal("docs/report.md has no example")
	}
	dec := json.NewDecoder(strings.NewReader(m[1]))
	dec.DisallowUnknownFields()
	var rep Report
	if err := dec.Decode(&rep); err != nil {
		t.Fatal(err)
	}
	checkReport(t, &rep)
	if rep.Schema != Schema || len(rep.Findings) == 0 {
		t.Errorf("schema %q, %d findings", rep.Schema, len(rep.Findings))
	}
}

// Every kind of need that a rule looks at stands in the description of the report.
func TestNeedKindsDocumented(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../docs/report.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range Rules() {
		for _, k := range r.needs {
			if !strings.Contains(string(doc), "`"+string(k)+"`") {
				t.Errorf("%s looks at needs of kind %s, which docs/report.md does not name", r.Code, k)
			}
		}
	}
}
