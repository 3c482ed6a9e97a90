// Package remote holds what drivers of other servers share: requests that run
// side by side ([Each]), tokens handed over without holding up who reads them
// ([Emitter]), server-sent events ([Events]), and what an HTTP status says about
// with whom a fault lies ([Status]).
//
// It knows the root package and no server's protocol beyond HTTP.
package remote
