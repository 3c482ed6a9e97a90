package grammar

import (
	"maps"
	"slices"
)

// formats are the formats of strings that are enforced, each as an expression
// that matches only values of the format, and the common ones of them: dates of
// the calendar without leap seconds, addresses without quoted parts or comments.
var formats = map[string]string{
	"date":      date,
	"time":      clock,
	"date-time": date + "T" + clock,
	"uuid":      `[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}`,
	"email":     `[A-Za-z0-9_+-]{1,24}(\.[A-Za-z0-9_+-]{1,19}){0,2}@` + host,
	"ipv4":      octet + `\.` + octet + `\.` + octet + `\.` + octet,
	"hostname":  host,
	"uri":       `https?://` + host + `(:[1-9][0-9]{0,3})?(/[A-Za-z0-9._~-]{0,40}){0,12}(\?[A-Za-z0-9._~=&-]{0,100})?(#[A-Za-z0-9._~-]{0,40})?`,
}

const (
	date = `([0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))|` +
		`([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29)`
	clock = `([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])`
	label = `[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?`
	host  = label + `(\.` + label + `){1,4}`
	octet = `(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])`
)

func formatNames() []string { return slices.Sorted(maps.Keys(formats)) }
