// Package stats computes confidence intervals over the items of a golden set:
// Wilson's for proportions, the BCa bootstrap for means and ratios, both aware
// of clusters, and Tango's for paired proportions. It exists because
// evaluation and gate, which may not import each other, must not each have
// their own.
//
// Main functions: Wilson, Bootstrap, DesignEffect, Tango. It knows numbers and
// cluster names only: nothing of items, arms, scorers or files. Everything is
// deterministic: resampling takes its seed.
package stats
