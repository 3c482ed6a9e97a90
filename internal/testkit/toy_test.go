package testkit

import "testing"

func TestToyGenerator(t *testing.T) {
	g := ToyGenerator{Toy{Base: 11}}
	o := GeneratorOptions{Exact: true, Codec: ByteCodec{}}
	Generator(t, g, o)
	GeneratorCalls(t, g, o)
	GeneratorFields(t, g, o)
}
