package serve

import (
	"context"
	"net/http"
)

// blind is the observer of a server that has none.
type blind struct{}

func (blind) Begin(r *http.Request, _ Call) (context.Context, Record) { return r.Context(), blind{} }
func (blind) Handler() http.Handler                                   { return http.NotFoundHandler() }
func (blind) Route(Target)                                            {}
func (blind) Token(int)                                               {}
func (blind) End(Outcome)                                             {}
