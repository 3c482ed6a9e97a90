// Package trl holds the checks of driver/trl against real TRL and PEFT; they are
// tests, run by make interop.
package trl
