package boot

import (
	"slices"

	"github.com/corecheck/corecheck/compat"
	"github.com/corecheck/corecheck/relocate/load"
)

// prediction is what compat says of a program, or of an object, on one kernel.
type prediction struct {
	load, attach, verdict compat.Status
	codes                 []string
	reason                string // of the worst finding
}

// unpredicted is the answer to what was not asked: a kernel whose BTF could not be read.
var unpredicted = prediction{load: compat.Unknown, attach: compat.Unknown, verdict: compat.Unknown, codes: []string{}}

// predictions are compat's answers by kernel.
type predictions struct {
	report  *compat.Report
	objects []objectPredictions // as in the report
}

type objectPredictions struct {
	whole    map[string]prediction   // by kernel
	programs []map[string]prediction // by program, by kernel
	leftOut  map[string]bool         // kernels
}

func newPredictions(rep *compat.Report) *predictions {
	p := &predictions{report: rep, objects: make([]objectPredictions, len(rep.Objects))}
	for i := range rep.Objects {
		o, x := &rep.Objects[i], &p.objects[i]
		x.whole, x.leftOut = make(map[string]prediction), make(map[string]bool)
		for _, l := range o.LeftOut {
			for _, k := range l.Kernels {
				x.leftOut[k] = true
			}
		}
		for _, res := range o.Results {
			for _, k := range res.Kernels {
				x.whole[k] = prediction{load: res.Load, attach: compat.None, verdict: res.Verdict}
			}
		}
		for j := range o.Programs {
			by := make(map[string]prediction)
			for _, res := range o.Programs[j].Results {
				y := prediction{load: res.Load, attach: res.Attach, verdict: res.Verdict, codes: []string{}}
				y.codes, y.reason = p.told(res.Findings)
				for _, k := range res.Kernels {
					by[k] = y
				}
			}
			x.programs = append(x.programs, by)
		}
	}
	return p
}

// told are the codes of findings, each once in their order, and the message of the first of the worst.
func (p *predictions) told(findings []int) (codes []string, reason string) {
	codes = []string{}
	rank := map[compat.Status]int{compat.Warn: 1, compat.Unknown: 2, compat.Break: 3}
	worst := 0
	seen := make(map[string]bool)
	for _, i := range findings {
		f := &p.report.Findings[i]
		if !seen[f.Code] {
			seen[f.Code] = true
			codes = append(codes, f.Code)
		}
		if n := rank[f.Verdict]; n > worst {
			worst, reason = n, f.Code+": "+f.Message
		}
	}
	return codes, reason
}

// object is the prediction of an object as a whole.
func (p *predictions) object(object int, kernel string) prediction {
	if x, ok := p.objects[object].whole[kernel]; ok {
		return x
	}
	return unpredicted
}

// program is the prediction of one program of an object.
func (p *predictions) program(object, program int, kernel string) prediction {
	if x, ok := p.objects[object].programs[program][kernel]; ok {
		return x
	}
	return unpredicted
}

// agree compares what was predicted with what was observed. It is false where a stage that the prediction decided came out
// otherwise; else nil where a stage was left open, or was predicted and not observed, or where nothing decides; else true. An
// attach that is predicted as none decides nothing, and neither does one of a program that is predicted not to load and does not.
//
// Failures that no prediction is about (Class.unpredictable) are as if the stage was not observed. That libbpf does not open an
// object was predicted, by a warning: other loaders take it.
func agree(want prediction, gotLoad Load, gotAttach Attach, why Class) *bool {
	if gotLoad == LoadFail {
		switch {
		case why.unpredictable():
			return nil
		case why == Refused && slices.Contains(want.codes, "CC010"):
			yes := true
			return &yes
		}
	}
	var decided, open bool
	compare := func(predicted compat.Status, ok bool) (same bool) {
		switch predicted {
		case compat.OK, compat.Break:
			decided = true
			return (predicted == compat.OK) == ok
		case compat.Unknown:
			open = true
		}
		return true
	}
	same := true
	if gotLoad == LoadOK || gotAttach != AttachNeedsTarget { // without its target a load says nothing
		same = compare(want.load, gotLoad == LoadOK)
	}
	switch {
	case !same || gotLoad == LoadFail:
	case gotAttach == AttachOK, gotAttach == AttachFail && !why.unpredictable():
		same = compare(want.attach, gotAttach == AttachOK)
	default:
		open = open || want.attach == compat.OK || want.attach == compat.Break || want.attach == compat.Unknown
	}
	if same && (open || !decided) {
		return nil
	}
	return &same
}

// relocationCodes are the static rules on CO-RE records, of which a program that reaches a poisoned one has a finding.
var relocationCodes = []string{"CC001", "CC002", "CC003", "CC004", "CC005", "CC007", "CC008"}

// stageOf is the stage of an outcome that failed. A guest that does not say is believed that it got as far as was asked.
func stageOf(said, asked load.Stage) load.Stage {
	switch said {
	case load.StageOpen, load.StageBTF, load.StageMap, load.StageReloc, load.StageLoad, load.StageAttach:
		return said
	}
	return asked
}
