package main

import (
	"fmt"
	"net"
	"strings"

	"dlm/serve"
)

// serveOut is the command's JSON, printed once when requests are answered.
type serveOut struct {
	URL      string      `json:"url"`
	Version  string      `json:"version"`
	Models   []servedOut `json:"models"`
	Keys     int         `json:"keys"` // good ones; 0: this machine alone may ask
	Problems []string    `json:"problems,omitempty"`
}

// servedOut is a name that requests may use.
type servedOut struct {
	ID      string   `json:"id"`
	Root    string   `json:"root"`
	Parent  string   `json:"parent,omitempty"`
	Engine  string   `json:"engine"`
	Aliases []string `json:"aliases,omitempty"`
}

// announce says what is served, and where.
func (a *app) announce(g *gateway, s *serveSettings, addr net.Addr) error {
	models, err := g.catalog.Models(a.ctx)
	if err != nil {
		return err
	}
	out := serveOut{URL: "http://" + reachable(addr), Version: version(), Keys: g.guard.Good(), Problems: g.catalog.Problems()}
	for _, m := range models {
		out.Models = append(out.Models, servedOut{m.ID, m.Root, m.Parent, m.OwnedBy, m.Aliases})
	}
	for _, p := range out.Problems {
		a.notef("amiss: %s", p)
	}
	a.finish(out, func() {
		a.printf("serving %s\n", out.URL)
		for i, m := range out.Models {
			a.printf("  %-28s %s\n", m.ID, describeModel(m, models[i]))
		}
		key := ""
		switch {
		case out.Keys > 0:
			key = " -H 'Authorization: Bearer KEY'"
			a.printf("keys: %d of %s\n", out.Keys, a.rel(s.keys))
		case s.project != nil:
			a.printf("keys: none, this machine alone may ask; dlm keys add NAME makes one\n")
		default:
			a.printf("keys: none, this machine alone may ask; --keys FILE names some\n")
		}
		if len(out.Models) > 0 {
			ask := out.Models[len(out.Models)-1].ID
			a.printf("try:  curl %s/v1/chat/completions%s -H 'Content-Type: application/json' -d '{\"model\": %q, \"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}]}'\n", out.URL, key, ask)
		}
		a.printf("also: /v1/models /metrics /healthz /readyz; Ctrl-C ends it, requests under way are finished\n")
	})
	return nil
}

func describeModel(o servedOut, m serve.Model) string {
	parts := []string{"base"}
	switch {
	case m.Adapter != "":
		parts[0] = "adapter " + m.Adapter.Short()
	case o.Parent != "":
		parts[0] = "adapter"
	}
	parts = append(parts, "on "+o.Engine)
	if m.Context > 0 {
		parts = append(parts, fmt.Sprintf("context %d", m.Context))
	}
	if len(m.Aliases) > 0 {
		parts = append(parts, strings.Join(m.Aliases, ", "))
	}
	return strings.Join(parts, "  ")
}

// reachable is the address as a client of this machine writes it.
func reachable(addr net.Addr) string {
	t, ok := addr.(*net.TCPAddr)
	if !ok || !t.IP.IsUnspecified() {
		return addr.String()
	}
	return net.JoinHostPort("127.0.0.1", fmt.Sprint(t.Port))
}
