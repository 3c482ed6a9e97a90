package serve

import (
	"net/http"
	"strings"

	"dlm"
	"dlm/serve/openai"
)

// models lists what who asks may use.
func models(x *exchange) error {
	list, err := x.visible()
	if err != nil {
		return err
	}
	out := openai.ModelList{Object: "list", Data: make([]openai.Model, len(list))}
	for i, m := range list {
		out.Data[i] = wireModel(m)
	}
	return x.json(http.StatusOK, out)
}

// model tells of one.
func model(x *exchange) error {
	id := x.r.PathValue("id")
	list, err := x.visible()
	if err != nil {
		return err
	}
	for _, m := range list {
		if m.ID == id {
			return x.json(http.StatusOK, wireModel(m))
		}
	}
	// A name that is not listed may mean something all the same: one with an alias or a digest.
	if err := x.route(id, ""); err != nil {
		return err
	}
	for _, m := range list {
		if plainName(m.ID) == x.target.Name {
			w := wireModel(m)
			w.ID = id
			if x.target.Adapter != "" {
				w.Root = string(x.target.Adapter)
			}
			return x.json(http.StatusOK, w)
		}
	}
	return dlm.Faultf(dlm.FaultUnknown, "model", "the model %s does not exist", id)
}

func (x *exchange) visible() ([]Model, error) {
	all, err := x.s.o.Router.Models(x.ctx)
	if err != nil {
		return nil, err
	}
	var out []Model
	for _, m := range all {
		if x.grant.Allows(plainName(m.ID)) {
			out = append(out, m)
		}
	}
	return out, nil
}

// plainName is a model's name without alias or digest.
func plainName(id string) string {
	name, _, _ := strings.Cut(id, "@")
	return name
}

func wireModel(m Model) openai.Model {
	w := openai.Model{ID: m.ID, Object: "model", OwnedBy: m.OwnedBy, Root: m.Root, Aliases: m.Aliases, Adapter: string(m.Adapter)}
	if w.Root == "" {
		w.Root = m.ID
	}
	if !m.Created.IsZero() {
		w.Created = m.Created.Unix()
	}
	if m.Parent != "" {
		w.Parent = &m.Parent
	}
	if m.Context > 0 {
		w.Context = &m.Context
	}
	return w
}
