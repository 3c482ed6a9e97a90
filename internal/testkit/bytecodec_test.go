package testkit

import "testing"

func TestByteCodec(t *testing.T) { Codec(t, ByteCodec{}) }
