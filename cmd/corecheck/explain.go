package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/corecheck/corecheck/compat"
)

func newExplainCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "explain [CODE|NAME]...",
		Short: "Tell what a finding's code means, how it is known and what to do",
		Long: `Tell what a finding's code means, how it is known, and what to do. Without a code it lists all of them.
`,
		Example: `  corecheck explain
  corecheck explain CC001
  corecheck explain field_missing`,
		Args: cobra.ArbitraryArgs,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var codes []string
			for _, r := range compat.Rules() {
				codes = append(codes, r.Code+"\t"+r.Title)
			}
			return codes, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: runExplain,
	}
}

func runExplain(cmd *cobra.Command, args []string) error {
	out := cmd.OutOrStdout()
	if len(args) == 0 {
		for _, r := range compat.Rules() {
			fmt.Fprintf(out, "%s  %-24s  %s\n", r.Code, r.Name, r.Title)
		}
		return nil
	}
	var found []*compat.Rule
	for _, a := range args {
		r := compat.RuleByName(a)
		if r == nil {
			return hinted(fmt.Errorf("there is no rule %q", a), "'corecheck explain' lists the rules"+similarRule(a))
		}
		found = append(found, r)
	}
	for i, r := range found {
		if i > 0 {
			fmt.Fprintln(out)
		}
		fmt.Fprint(out, r.Explain())
	}
	return nil
}

// similarRule names the rules whose name or title has the word, for a hint.
func similarRule(word string) string {
	var codes []string
	for _, r := range compat.Rules() {
		if len(word) > 2 && strings.Contains(r.Name+" "+r.Title, strings.ToLower(word)) {
			codes = append(codes, r.Code+" ("+r.Name+")")
		}
	}
	if len(codes) == 0 {
		return ""
	}
	return "; did you mean " + strings.Join(codes, " or ") + "?"
}
