// Package load puts load on an OpenAI-compatible server from outside and says
// what came of it. Its main function is [Run]: it sends what a [Plan] says and
// returns a [Report].
//
// What request i asks (model, prompt, length) and when it is due follow from the
// plan's seed and i alone, so that two servers see the same requests, whatever
// the order in which they are answered.
//
// A closed loop keeps a number of requests under way: it finds a server's
// throughput, and hides its queues, since a slow server is asked less often. An
// open loop sends requests at the times of a Poisson process whatever has been
// answered, as users do, and counts a request's latency from the time at which it
// was due: a client that was late to send does not flatter the server.
//
// The package must not know which server answers, nor how the gateway works.
package load
