package hub

import (
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"strings"
)

// maxReason bounds what is read of an unwelcome answer, in bytes.
const maxReason = 64 << 10

// reason is what the Hub, or the store behind it, says of a refusal: in the
// header X-Error-Message, else in the body. It reads the body.
func reason(resp *http.Response) string {
	if said := oneLine(resp.Header.Get("X-Error-Message")); said != "" {
		return said
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxReason))
	if err != nil {
		return ""
	}
	return reasonIn(body)
}

// reasonIn finds the reason in a body: {"error": text or list of texts},
// {"errors": [{"message"}]}, {"message"}, or an object store's XML. A page for
// browsers has none.
func reasonIn(body []byte) string {
	var j struct {
		Error   json.RawMessage `json:"error"`
		Message string          `json:"message"` // git LFS
		Errors  []struct {
			Message string `json:"message"`
		} `json:"errors"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal(body, &j) == nil {
		var all []string
		var one string
		if json.Unmarshal(j.Error, &one) == nil {
			all = append(all, one)
		} else {
			_ = json.Unmarshal(j.Error, &all) // neither a text nor a list of texts says nothing
		}
		for _, e := range j.Errors {
			all = append(all, e.Message)
		}
		return oneLine(strings.Join(append(all, j.Message, j.Description), " "))
	}
	var x struct {
		XMLName xml.Name
		Code    string
		Message string
	}
	if xml.Unmarshal(body, &x) == nil && x.XMLName.Local == "Error" {
		return oneLine(x.Code + " " + x.Message)
	}
	return ""
}

// oneLine makes a text fit an error: white space reduced, control characters
// out, not too long.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > 400 {
		s = string(r[:400]) + " ..."
	}
	return s
}
