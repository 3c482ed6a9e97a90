package train

// AvailableBytes is the memory that this process may still take: what the system
// has free, within its cgroup's limit.
func AvailableBytes() int64 { return availableBytes("/") }
