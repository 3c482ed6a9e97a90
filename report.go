package dlm

// Score is what one scorer says of one sample. A metric that is a ratio of sums
// over the whole set (micro F1) sets Ratio and gives the sample's parts of the
// two sums; a sample with Den 0 adds nothing to them.
type Score struct {
	Value    float64 `json:"value"`              // 0..1
	Ratio    bool    `json:"ratio,omitempty"`    // the metric is the sum of Num over the sum of Den
	Num      float64 `json:"num,omitempty"`      //
	Den      float64 `json:"den,omitempty"`      //
	Unscored bool    `json:"unscored,omitempty"` // the scorer could not judge; counts nowhere
	Why      string  `json:"why,omitempty"`      // for a person: what differed
}

// Sample is one item answered by one arm, with everything needed to judge it again.
type Sample struct {
	ItemID     string           `json:"item_id"`
	Cluster    string           `json:"cluster,omitempty"`
	Tags       []string         `json:"tags,omitempty"`
	Prompt     []Message        `json:"prompt"`
	Target     string           `json:"target"`
	Completion string           `json:"completion"`
	Finish     string           `json:"finish"` // "stop", "length", "error"
	Error      string           `json:"error,omitempty"`
	Tokens     int              `json:"tokens"`     // generated
	LatencyMS  float64          `json:"latency_ms"` // wall time of its batch divided by the batch's size
	Scores     map[string]Score `json:"scores"`     // by metric name
}

// Metric is a mean over samples, or a ratio of their sums, with its confidence
// interval.
type Metric struct {
	Name     string  `json:"name"`
	Value    float64 `json:"value"`
	Low      float64 `json:"low"`
	High     float64 `json:"high"`
	Level    float64 `json:"level"`    // 0.95
	Method   string  `json:"method"`   // "wilson", "cluster wilson", "bootstrap", "cluster bootstrap"
	N        int     `json:"n"`        // scored samples
	Unscored int     `json:"unscored"` // samples the scorer could not judge
}

// TagRow is one metric of the samples that carry Tag.
type TagRow struct {
	Tag    string `json:"tag"`
	Metric Metric `json:"metric"`
}

// Arm is one way to answer the golden set: a base, an adapter, or no model at all.
type Arm struct {
	Name    string   `json:"name"`    // "zero-shot", "few-shot-4", "nearest-copy", or the adapter's name
	Adapter Digest   `json:"adapter"` // empty for baselines
	Shots   int      `json:"shots"`   // nearest training rows put into the prompt
	Metrics []Metric `json:"metrics"`
	Tags    []TagRow `json:"tags"`
	Samples []Sample `json:"samples"`
}

// Metric returns the arm's metric of that name.
func (a Arm) Metric(name string) (Metric, bool) {
	for _, m := range a.Metrics {
		if m.Name == name {
			return m, true
		}
	}
	return Metric{}, false
}

// Report is one evaluation: every arm over the same golden set.
type Report struct {
	Golden  Digest   `json:"golden"`
	Base    Digest   `json:"base"`
	Engine  string   `json:"engine,omitempty"` // who answered, where it was not the native engine: "vllm 0.32.0 bfloat16"
	Data    Digest   `json:"data,omitempty"`   // training rows that the few-shot, nearest and linear arms used
	Primary string   `json:"primary"`          // the metric that the gate reads
	Items   int      `json:"items"`
	Arms    []Arm    `json:"arms"`
	Notes   []string `json:"notes,omitempty"`
}

// Arm returns the arm of that name.
func (r Report) Arm(name string) (Arm, bool) {
	for _, a := range r.Arms {
		if a.Name == name {
			return a, true
		}
	}
	return Arm{}, false
}

// Outcome is what a gate decided.
type Outcome string

// The outcomes of a gate.
const (
	Pass         Outcome = "pass"
	Fail         Outcome = "fail"
	Inconclusive Outcome = "inconclusive"
)

// Verdict is a gate's decision with its reasons.
type Verdict struct {
	Outcome     Outcome  `json:"outcome"`
	Metric      string   `json:"metric"`
	Candidate   string   `json:"candidate"`
	Baseline    string   `json:"baseline"`
	N           int      `json:"n"`          // paired items
	Margin      float64  `json:"margin"`     // largest drop allowed, e.g. 0.02
	Difference  float64  `json:"difference"` // candidate minus baseline
	Low         float64  `json:"low"`        // interval of the difference
	High        float64  `json:"high"`
	Level       float64  `json:"level"`
	Method      string   `json:"method"`       // "tango", "paired bootstrap", ...
	McNemarP    float64  `json:"mcnemar_p"`    // information only: it tests against zero, not the margin
	Fixed       []string `json:"fixed"`        // item ids only the candidate gets right
	Broken      []string `json:"broken"`       // item ids only the baseline gets right
	ItemsNeeded int      `json:"items_needed"` // about how many would decide it; 0 when decided
	Reason      string   `json:"reason"`
}
