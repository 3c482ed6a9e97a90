package kernel

// cpuid executes CPUID with the given leaf and subleaf 0 and returns ECX.
func cpuidECX(leaf uint32) uint32

// hasF16C reports VCVTPH2PS; x/sys/cpu does not.
func hasF16C() bool { return cpuidECX(1)&(1<<29) != 0 }
