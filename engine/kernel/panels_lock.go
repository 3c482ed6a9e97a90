package kernel

import "sync"

// packLocks guard Q4 panels while their rows are set: four columns share a
// word. A panel uses lock (index mod 64).
var packLocks [64]sync.Mutex
