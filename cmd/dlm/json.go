package main

import (
	"encoding/json"
	"reflect"
)

// emptyLists returns v with every list that is nil made an empty one, so that
// a list in a command's JSON is always a list and never null.
func emptyLists(v any) any {
	if v == nil {
		return nil
	}
	out := reflect.New(reflect.TypeOf(v)).Elem()
	out.Set(reflect.ValueOf(v))
	fillLists(out)
	return out.Interface()
}

var marshaler = reflect.TypeFor[json.Marshaler]()

// fillLists walks a settable value. Structs are copies already; what a pointer
// or slice shares with its owner only changes from nil to empty.
func fillLists(v reflect.Value) {
	if v.Type().Implements(marshaler) || reflect.PointerTo(v.Type()).Implements(marshaler) {
		return
	}
	switch v.Kind() {
	case reflect.Slice:
		if v.IsNil() {
			v.Set(reflect.MakeSlice(v.Type(), 0, 0))
		}
		for i := range v.Len() {
			fillLists(v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fillLists(v.Field(i))
			}
		}
	case reflect.Pointer:
		if !v.IsNil() {
			fillLists(v.Elem())
		}
	case reflect.Interface:
		if !v.IsNil() {
			v.Set(reflect.ValueOf(emptyLists(v.Interface())))
		}
	case reflect.Map:
		if v.IsNil() {
			v.Set(reflect.MakeMap(v.Type()))
			return
		}
		// A copy: the map's owner may go on reading it.
		m := reflect.MakeMapWithSize(v.Type(), v.Len())
		for it := v.MapRange(); it.Next(); {
			e := reflect.New(v.Type().Elem()).Elem()
			e.Set(it.Value())
			fillLists(e)
			m.SetMapIndex(it.Key(), e)
		}
		v.Set(m)
	}
}
