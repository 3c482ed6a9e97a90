// Package places runs dlm's training with real TRL where it is not one process of
// this machine: over ssh to an sshd of its own, as a job of a Ray cluster of its
// own, as two processes. Connections, dlm itself and the training program are
// killed in the middle; each time the run must end with the very bytes of one that
// was never cut. It has no code but tests, which need DLM_INTEROP=1.
package places
