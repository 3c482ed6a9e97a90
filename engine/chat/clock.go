package chat

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ardanlabs/jinja"
)

// clock is the template's strftime_now: the fixed date of the variable "now",
// or undefined. Today's real date would make the same conversation another text
// each day, and an adapter be served another prompt than it was trained on.
func (t *Template) clock() jinja.Value {
	if t.now.IsZero() {
		return jinja.Undefined()
	}
	return jinja.NewCallable("strftime_now", func(args []jinja.Value, _ map[string]jinja.Value) (jinja.Value, error) {
		if len(args) != 1 || !args[0].IsString() {
			return jinja.Undefined(), errors.New("strftime_now: expected one format")
		}
		s, err := strftime(t.now, args[0].AsString())
		return jinja.NewString(s), err
	})
}

// strftimeLayouts are Go's layouts of the directives that templates use.
var strftimeLayouts = map[string]string{
	"Y": "2006", "y": "06", "m": "01", "-m": "1", "B": "January", "b": "Jan", "d": "02", "-d": "2", "e": "_2",
	"A": "Monday", "a": "Mon", "j": "002", "H": "15", "I": "03", "M": "04", "S": "05", "p": "PM", "F": "2006-01-02",
}

// strftime formats a date as Python's datetime.strftime does.
func strftime(now time.Time, format string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			b.WriteByte(format[i])
			continue
		}
		end := i + 2
		if strings.HasPrefix(format[i:], "%-") {
			end++
		}
		directive := format[i+1 : min(end, len(format))]
		layout, ok := strftimeLayouts[directive]
		switch {
		case directive == "%":
			b.WriteByte('%')
		case !ok:
			return "", fmt.Errorf("strftime_now: %%%s is not supported", directive)
		default:
			b.WriteString(now.Format(layout))
		}
		i = end - 1
	}
	return b.String(), nil
}
