package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// known is what is held fast between two runs. Texts of reasons are no part of it: they change with updates of kernels.
type known struct {
	Kernels []string `json:"kernels"` // IDs, in the order of versions
	// Disagreements are predictions that came out otherwise: each is a defect.
	Disagreements []disagreement `json:"disagreements"`
	// Witnesses are the kernels on which a rule's witness failed for the reason of that rule.
	Witnesses []witnessed `json:"witnesses"`
	// Twins are the kernels on which all twins of a rule worked.
	Twins []witnessed `json:"twins"`
	// Counts are by kernel and object, so that nothing that agreed can become unknown, or vanish, without being seen.
	Counts []counted `json:"counts"`
}

// counted is what came out of the programs of one object, on kernels on which it was the same.
type counted struct {
	Object      string   `json:"object"`   // its label
	Programs    int      `json:"programs"` // that were observed
	Agree       int      `json:"agree"`
	Unknown     int      `json:"unknown"`
	NeedsTarget int      `json:"needs_target"`
	LeftOut     bool     `json:"left_out,omitempty"` // it is for other kernels
	Kernels     []string `json:"kernels"`
}

// disagreement is a wrong prediction of one stage.
type disagreement struct {
	Object  string `json:"object"`            // its label
	Program string `json:"program,omitempty"` // "": the object as a whole
	Stage   string `json:"stage"`             // load or attach
	// Predicted is what came out otherwise: a prediction that turns from wrong to wrong the other way is another defect.
	Predicted string   `json:"predicted"`
	Kernels   []string `json:"kernels"`
}

// witnessed says where a rule was seen at work.
type witnessed struct {
	Rule    string   `json:"rule"`
	Kernels []string `json:"kernels"`
}

// encode writes it with one entry a line, so that a change can be read.
func (k *known) encode() []byte {
	var b bytes.Buffer
	list := func(name string, n int, item func(i int) any, last bool) {
		fmt.Fprintf(&b, "  %q: [", name)
		for i := range n {
			line, err := json.Marshal(item(i))
			if err != nil {
				panic(err) // strings and lists of strings
			}
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString("\n    ")
			b.Write(line)
		}
		if n > 0 {
			b.WriteString("\n  ")
		}
		b.WriteByte(']')
		if !last {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
	}
	b.WriteString("{\n")
	list("kernels", len(k.Kernels), func(i int) any { return k.Kernels[i] }, false)
	list("disagreements", len(k.Disagreements), func(i int) any { return k.Disagreements[i] }, false)
	list("witnesses", len(k.Witnesses), func(i int) any { return k.Witnesses[i] }, false)
	list("twins", len(k.Twins), func(i int) any { return k.Twins[i] }, false)
	list("counts", len(k.Counts), func(i int) any { return k.Counts[i] }, true)
	b.WriteString("}\n")
	return b.Bytes()
}

// decodeKnown reads what encode wrote.
func decodeKnown(data []byte) (*known, error) {
	k := new(known)
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(k); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("more than one value")
	}
	return k, nil
}

// facts are single statements of k on the kernels in on.
func (k *known) facts(on []string) map[string]bool {
	out := make(map[string]bool)
	add := func(kernels []string, text string) {
		for _, id := range kernels {
			if slices.Contains(on, id) {
				out[text+" on "+id] = true
			}
		}
	}
	for _, d := range k.Disagreements {
		add(d.Kernels, "disagreement: "+cmp.Or(d.Program, "the whole")+" of "+d.Object+", "+d.Stage+" predicted as "+d.Predicted)
	}
	for _, w := range k.Witnesses {
		add(w.Kernels, "witness of "+w.Rule)
	}
	for _, w := range k.Twins {
		add(w.Kernels, "twin of "+w.Rule+" that works")
	}
	for _, c := range k.Counts {
		text := fmt.Sprintf("count: %s with %d programs, %d as predicted, %d unknown, %d in need of a target", c.Object, c.Programs, c.Agree, c.Unknown, c.NeedsTarget)
		if c.LeftOut {
			text = "count: " + c.Object + " left out"
		}
		add(c.Kernels, text)
	}
	return out
}

// differences says what is new in now and what is gone from k, on the kernels of now. Kernels that k is not about are a
// difference by themselves.
func (k *known) differences(now *known) []string {
	var out, on []string
	for _, id := range now.Kernels {
		if slices.Contains(k.Kernels, id) {
			on = append(on, id)
		} else {
			out = append(out, id+" is not in "+knownFile)
		}
	}
	was, is := k.facts(on), now.facts(on)
	for _, text := range slices.Sorted(maps.Keys(is)) {
		if !was[text] {
			out = append(out, "new "+text)
		}
	}
	for _, text := range slices.Sorted(maps.Keys(was)) {
		if !is[text] {
			out = append(out, "gone: "+text)
		}
	}
	return out
}

// sortKnown puts lists into an order that does not depend on where they come from.
func sortKnown(k *known) {
	slices.SortFunc(k.Disagreements, func(a, b disagreement) int {
		return cmp.Or(strings.Compare(a.Object, b.Object), strings.Compare(a.Program, b.Program), strings.Compare(a.Stage, b.Stage),
			strings.Compare(a.Predicted, b.Predicted))
	})
	for _, list := range [][]witnessed{k.Witnesses, k.Twins} {
		slices.SortFunc(list, func(a, b witnessed) int { return strings.Compare(a.Rule, b.Rule) })
	}
	slices.SortStableFunc(k.Counts, func(a, b counted) int { return strings.Compare(a.Object, b.Object) })
}
