package card

import (
	"time"

	"dlm"
)

// LineageFile is the name of the file that travels with a pushed adapter and
// holds Card.Lineage as JSON.
const LineageFile = "dlm_lineage.json"

// Card is everything that a model card is made from. Parts that are not known
// stay zero, and the card says so.
type Card struct {
	Name    string            `json:"name"`           // of the adapter
	Repo    string            `json:"repo,omitempty"` // owner/name on the Hub
	ID      dlm.Digest        `json:"id,omitempty"`   // of the adapter as an artifact
	Created time.Time         `json:"created,omitzero"`
	Code    string            `json:"code,omitempty"` // version of dlm that trained it
	Seed    uint64            `json:"seed"`
	Recipe  map[string]string `json:"recipe,omitempty"` // settings that it was trained with
	Origin  string            `json:"origin,omitempty"` // where it came from when it was not trained here
	System  string            `json:"system,omitempty"` // system message of the rows

	Base   Base        `json:"base"`
	Data   []Data      `json:"data,omitempty"`
	Golden *Data       `json:"golden,omitempty"` // the golden set
	Report *dlm.Report `json:"-"`                // with the adapter's arm
	Arm    string      `json:"-"`                // that arm's name
	Gate   *Gate       `json:"gate,omitempty"`

	Author Author `json:"-"`
}

// Base is what the adapter was trained on.
type Base struct {
	Name      string     `json:"name"`               // as it was asked for
	Repo      string     `json:"repo,omitempty"`     // on the Hub; empty = it is not known to be there
	Commit    string     `json:"commit,omitempty"`   // of that repository
	File      string     `json:"file,omitempty"`     // base's file name where it is one file
	Digest    dlm.Digest `json:"digest"`             // of the weights
	Quantize  string     `json:"quantize,omitempty"` // how they were quantised as they were loaded
	Tokenizer string     `json:"tokenizer,omitempty"`
	Template  string     `json:"template,omitempty"`
}

// Data is a file, or a set of rows, that was trained on or judged with.
type Data struct {
	Role        string     `json:"role"`              // "trained on", "held out", "golden set"
	Name        string     `json:"name"`              // for people
	Files       string     `json:"files,omitempty"`   // names, without folders of the machine
	Digest      dlm.Digest `json:"digest"`            // of the rows as they were used
	Rows        string     `json:"rows,omitempty"`    // how many
	Licence     string     `json:"licence,omitempty"` // first line of the licence beside it
	LicenceID   string     `json:"licence_id,omitempty"`
	Attribution string     `json:"-"` // text of the attribution beside it
}

// Gate is the newest verdict on the adapter.
type Gate struct {
	dlm.Verdict
	ID      dlm.Digest `json:"id"`
	Allowed bool       `json:"allowed"` // it may be promoted
}

// Author is what only a person knows; dlm.yaml has it under card.
type Author struct {
	Licence     string   // of the adapter, as the Hub names licences: apache-2.0
	Languages   []string // en
	Datasets    []string // on the Hub, owner/name
	Tags        []string
	IntendedUse string
	Limits      string
}

// Lineage is the part of the card that a machine reads again: no samples, no
// paths of this machine.
type Lineage struct {
	Format int `json:"format"`
	Card
	Metrics []dlm.Metric `json:"metrics,omitempty"` // of the adapter's arm
	Primary string       `json:"primary,omitempty"`
	Engine  string       `json:"engine,omitempty"` // that answered, where it was not dlm's own
}

// Lineage returns it.
func (c Card) Lineage() Lineage {
	l := Lineage{Format: 1, Card: c}
	if c.Gate != nil { // item ids may say what the golden set asks
		g := *c.Gate
		g.Fixed, g.Broken = nil, nil
		l.Gate = &g
	}
	if arm, ok := c.arm(); ok {
		l.Metrics, l.Primary, l.Engine = arm.Metrics, c.Report.Primary, c.Report.Engine
	}
	return l
}

// arm is the adapter's own arm of the report.
func (c Card) arm() (dlm.Arm, bool) {
	if c.Report == nil {
		return dlm.Arm{}, false
	}
	return c.Report.Arm(c.Arm)
}
