// Package tenant keeps tenants apart: who may ask, for what, how often and for
// how much. Its main function is [NewGuard], which returns the gateway's
// serve.Guard over a [File] of keys.
//
// A key's secret is shown once, when it is made; the file holds its SHA-256. No
// slow hash is needed: a secret is 32 random bytes, which nobody finds by trying
// (passwords are what slow hashes are for), and every request is checked.
// Requests are limited by a token bucket, tokens by a window that begins with the
// first token used in it. Both live in memory: a restart begins them anew.
//
// The package must not know what answers a request, nor count anything for
// metrics.
package tenant
