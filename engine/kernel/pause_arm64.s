#include "textflag.h"

// func pause(n int)
// ISB takes some ten nanoseconds; YIELD does nothing on most CPUs.
TEXT ·pause(SB), NOSPLIT, $0-8
	MOVD n+0(FP), R0
loop:
	ISB  $15
	SUBS $1, R0, R0
	BNE  loop
	RET
