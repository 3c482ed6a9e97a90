package lifecycle

import (
	"fmt"
	"math"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// ServeSpec is how dlm serve answers. What is left out has dlm serve's default;
// its flags go before the file.
type ServeSpec struct {
	Addr          string          `yaml:"addr" json:"addr"`                     // host:port; 127.0.0.1:8080
	MaxITL        Duration        `yaml:"max_itl" json:"max_itl"`               // as long as a step may take while somebody waits for the next token; 0: no matter
	Cache         Bytes           `yaml:"cache" json:"cache"`                   // of keys and values
	AdapterMemory Bytes           `yaml:"adapter_memory" json:"adapter_memory"` // of adapters that are neither in use nor pinned
	MaxSequences  int             `yaml:"max_sequences" json:"max_sequences"`   // in a batch
	OwnPrefixes   bool            `yaml:"own_prefixes" json:"own_prefixes"`     // what prompts begin with alike is computed once a tenant, not once for all
	MaxQueue      int             `yaml:"max_queue" json:"max_queue"`           // that wait for a place; 0: any number
	Draft         *int            `yaml:"draft" json:"draft"`                   // tokens guessed ahead and verified in one step; nil = 7, 0 = none
	Keys          string          `yaml:"keys" json:"keys"`                     // file of API keys; .dlm/keys.json
	Drain         Duration        `yaml:"drain" json:"drain"`                   // that requests under way have when it ends
	Limits        ServeLimits     `yaml:"limits" json:"limits"`
	Origins       []string        `yaml:"origins" json:"origins"`     // web pages that may ask, such as https://chat.example.com
	Native        string          `yaml:"native" json:"native"`       // off: the base is not loaded, upstreams alone answer
	BaseName      string          `yaml:"base_name" json:"base_name"` // what requests call the base; empty: its own name
	Upstreams     []ServeUpstream `yaml:"upstreams" json:"upstreams"` // servers that answer besides the native engine
	Log           ServeLog        `yaml:"log" json:"log"`
	OTel          string          `yaml:"otel" json:"otel"` // address of an OpenTelemetry collector, http://127.0.0.1:4318
}

// ServeLimits bound one request.
type ServeLimits struct {
	Body      Bytes    `yaml:"body" json:"body"`             // of a request; 4 MiB
	Time      Duration `yaml:"time" json:"time"`             // from the first byte to the last; 10m
	Choices   int      `yaml:"choices" json:"choices"`       // n, times prompts; 128
	MaxTokens int      `yaml:"max_tokens" json:"max_tokens"` // of a completion; 0: the base's context
}

// ServeLog is what the access log holds.
type ServeLog struct {
	File    string `yaml:"file" json:"file"`       // empty: standard error; none: no log
	Prompts bool   `yaml:"prompts" json:"prompts"` // the texts of prompts and completions too
}

// ServeUpstream is a server behind the gateway. Several of one name are its replicas.
type ServeUpstream struct {
	Name      string   `yaml:"name" json:"name"`
	Kind      string   `yaml:"kind" json:"kind"` // openai, vllm, ollama or llamacpp
	URL       string   `yaml:"url" json:"url"`
	APIKeyEnv string   `yaml:"api_key_env" json:"api_key_env"` // variable that holds the key it wants
	Models    []string `yaml:"models" json:"models"`           // names that go there: NAME, or NAME=what the upstream calls it; empty: what it lists
	InFlight  int      `yaml:"in_flight" json:"in_flight"`     // requests at once; 0: any number
}

// UpstreamKinds are the kinds of servers behind the gateway.
var UpstreamKinds = []string{"openai", "vllm", "ollama", "llamacpp"}

// Bytes is a size in the file: 512MiB, 1.5GiB, 1GB, 4096.
type Bytes int64

// byteUnits are the units of a size, longest names first.
var byteUnits = []struct {
	name string
	size float64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}}

// ParseBytes reads a size.
func ParseBytes(s string) (Bytes, error) {
	s = strings.TrimSpace(s)
	num, unit := s, 1.0
	for _, u := range byteUnits {
		if rest, ok := strings.CutSuffix(s, u.name); ok {
			num, unit = strings.TrimSpace(rest), u.size
			break
		}
	}
	v, err := strconv.ParseFloat(num, 64)
	if err != nil || !(v >= 0) || v*unit > math.MaxInt64/2 {
		return 0, fmt.Errorf("size %q: expected a number with a unit, such as 512MiB, 1GiB or 2GB", s)
	}
	return Bytes(v * unit), nil
}

// UnmarshalText is ParseBytes, for flags.
func (b *Bytes) UnmarshalText(text []byte) (err error) {
	*b, err = ParseBytes(string(text))
	return err
}

// String is the size as the file would have it.
func (b Bytes) String() string {
	for _, u := range slices.Backward(byteUnits[:4]) {
		if n := float64(b) / u.size; n >= 1 && n == math.Trunc(n*1024)/1024 {
			return strconv.FormatFloat(n, 'g', -1, 64) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

func (b *Bytes) decodeField(d *decoder, n ast.Node, path string) {
	s, ok := scalarText(n)
	v, err := ParseBytes(s)
	if !ok || err != nil {
		d.fail(n, path, "is "+what(n), "a size such as 512MiB or 1GiB", "")
		return
	}
	*b = v
}

var (
	upstreamName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
	webOrigin    = regexp.MustCompile(`^(\*|https?://[^/\s]+)$`)
)

func (s *ServeSpec) validate(v *validator) {
	if s.Addr != "" {
		_, port, err := net.SplitHostPort(s.Addr)
		n, perr := strconv.Atoi(port)
		v.check(err == nil && perr == nil && n >= 0 && n < 1<<16, "serve.addr", fmt.Sprintf("is %q", s.Addr), "host:port, such as 127.0.0.1:8080", "")
	}
	for path, d := range map[string]Duration{"serve.max_itl": s.MaxITL, "serve.drain": s.Drain, "serve.limits.time": s.Limits.Time} {
		v.check(d >= 0, path, "is "+d.String(), "a time such as 50ms or 30s", "")
	}
	for path, n := range map[string]int{"serve.max_sequences": s.MaxSequences, "serve.max_queue": s.MaxQueue, "serve.limits.choices": s.Limits.Choices, "serve.limits.max_tokens": s.Limits.MaxTokens} {
		v.check(n >= 0, path, fmt.Sprintf("is %d", n), "0 or more", "")
	}
	v.check(s.Draft == nil || *s.Draft >= 0, "serve.draft", "is below 0", "0 (off) or a number of tokens such as 7", "")
	for i, o := range s.Origins {
		v.check(webOrigin.MatchString(o), fmt.Sprintf("serve.origins[%d]", i), fmt.Sprintf("is %q", o), "an origin without a path, such as https://chat.example.com", "")
	}
	v.check(s.OTel == "" || strings.HasPrefix(s.OTel, "http://") || strings.HasPrefix(s.OTel, "https://"), "serve.otel", fmt.Sprintf("is %q", s.OTel), "an address such as http://127.0.0.1:4318", "")
	v.check(s.BaseName == "" || !strings.ContainsAny(s.BaseName, "@ \t\n"), "serve.base_name", fmt.Sprintf("is %q", s.BaseName), "a name without spaces and without @, which stands before an alias", "")
	if s.Native != "" {
		v.oneOf("serve.native", s.Native, "on", "off")
	}
	v.check(s.Native != "off" || len(s.Upstreams) > 0, "serve.native", "is off, and there are no upstreams", "an upstream under serve.upstreams, or native: on", "")
	for i := range s.Upstreams {
		s.Upstreams[i].validate(v, fmt.Sprintf("serve.upstreams[%d]", i))
	}
}

func (u *ServeUpstream) validate(v *validator, at string) {
	v.check(upstreamName.MatchString(u.Name), at+".name", fmt.Sprintf("is %q", u.Name), "a name of letters, digits, dot, dash or underscore", "")
	v.oneOf(at+".kind", u.Kind, UpstreamKinds...)
	v.check(strings.HasPrefix(u.URL, "http://") || strings.HasPrefix(u.URL, "https://"), at+".url", fmt.Sprintf("is %q", u.URL), "an address such as http://127.0.0.1:8000", "")
	v.check(u.APIKeyEnv == "" || variableName.MatchString(u.APIKeyEnv), at+".api_key_env", "is no name of an environment variable", "the name of the variable that holds the key; the key itself does not belong in this file", "")
	v.check(u.InFlight >= 0, at+".in_flight", fmt.Sprintf("is %d", u.InFlight), "0 (any number) or more", "")
	for i, m := range u.Models {
		name, _, _ := strings.Cut(m, "=")
		v.check(strings.TrimSpace(name) != "" && !strings.Contains(name, "@"), fmt.Sprintf("%s.models[%d]", at, i), fmt.Sprintf("is %q", m), "NAME, or NAME=what the upstream calls it; no @, which stands before an alias", "")
	}
}
