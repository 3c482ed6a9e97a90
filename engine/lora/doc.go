// Package lora holds adapters: pairs of low-rank matrices A and B per
// projection (Hu et al. 2021, arXiv:2106.09685), bound to one base.
//
// The main type is Adapter. New makes one to train, Load reads a PEFT folder
// and refuses whatever it cannot honour exactly (engine law 8), Save writes a
// PEFT folder that PEFT loads as it is. The package knows shapes, names and
// files of adapters; it must not know losses, data, stages or how a base's
// weights are stored.
//
// Letters: L layers, R rank, "in" and "out" the sizes of a projection.
package lora
