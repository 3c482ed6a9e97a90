package serve

import (
	"fmt"
	"net/http"

	"dlm"
	"dlm/serve/openai"
)

// admin refuses who may not change what is served.
func (x *exchange) admin() error {
	if !x.grant.Admin() {
		return dlm.Faultf(dlm.FaultForbidden, "", "this key may not load or unload adapters; that takes an admin's key")
	}
	return nil
}

// loadAdapter gives an adapter on the server's disk a name, as vLLM's endpoint does.
func loadAdapter(x *exchange) error {
	if err := x.admin(); err != nil {
		return err
	}
	b, err := x.body()
	if err != nil {
		return err
	}
	r, err := openai.DecodeLoad(b)
	if err != nil {
		return err
	}
	if err := x.s.o.Router.Load(x.ctx, r.Name, r.Path); err != nil {
		return err
	}
	return x.text(fmt.Sprintf("Success: LoRA adapter '%s' added successfully.", r.Name))
}

// unloadAdapter takes the name away; requests under way keep the adapter.
func unloadAdapter(x *exchange) error {
	if err := x.admin(); err != nil {
		return err
	}
	b, err := x.body()
	if err != nil {
		return err
	}
	r, err := openai.DecodeUnload(b)
	if err != nil {
		return err
	}
	if err := x.s.o.Router.Unload(x.ctx, r.Name); err != nil {
		return err
	}
	return x.text(fmt.Sprintf("Success: LoRA adapter '%s' removed successfully.", r.Name))
}

// refresh looks at names and aliases at once, instead of within about a second.
func refresh(x *exchange) error {
	if err := x.admin(); err != nil {
		return err
	}
	o, ok := x.s.o.Router.(Operator)
	if !ok {
		return dlm.Faultf(dlm.FaultUnsupported, "", "this server's names do not change by themselves")
	}
	if err := o.Refresh(x.ctx); err != nil {
		return err
	}
	return x.json(http.StatusOK, map[string]any{"status": "refreshed", "problems": append([]string{}, o.Problems()...)})
}

// text answers with one line, as vLLM does here.
func (x *exchange) text(s string) error {
	x.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	return x.write(http.StatusOK, []byte(s))
}
