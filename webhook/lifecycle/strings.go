package lifecycle

import (
	"hash/maphash"
	"maps"
	"reflect"
	"slices"
	"sync"
)

// maxShared is how long a string may be, in bytes, to be shared. Longer ones are
// hardly the same twice, and those remembered stay in memory.
const maxShared = 64

// sharedStrings has equal strings of cached objects share their bytes: a set and
// what belongs to it are a hundred strings, most of which all other clusters have
// too. It remembers the latest of each hash and so never grows.
type sharedStrings struct {
	lock   sync.Mutex
	seed   maphash.Seed
	latest [4096]string
}

func newSharedStrings() *sharedStrings { return &sharedStrings{seed: maphash.MakeSeed()} }

// share replaces the strings of the object that a pointer points to.
func (s *sharedStrings) share(object any) {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.value(reflect.ValueOf(object).Elem())
}

func (s *sharedStrings) same(text string) string {
	if len(text) > maxShared {
		return text
	}
	slot := &s.latest[maphash.String(s.seed, text)%uint64(len(s.latest))]
	if *slot != text {
		*slot = text
	}
	return *slot
}

// value walks what can be set: what types keep to themselves, such as a time's
// and a quantity's parts, stays as it is.
func (s *sharedStrings) value(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		if v.CanSet() && v.Len() > 0 {
			v.SetString(s.same(v.String()))
		}
	case reflect.Pointer:
		if !v.IsNil() {
			s.value(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				s.value(v.Field(i))
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return
		}
		for i := range v.Len() {
			s.value(v.Index(i))
		}
	case reflect.Map:
		if texts, is := reflect.TypeAssert[map[string]string](v); is {
			s.texts(texts)
		}
	default:
	}
}

// texts shares the keys too; only a key that was taken out first is replaced.
func (s *sharedStrings) texts(all map[string]string) {
	for _, key := range slices.Collect(maps.Keys(all)) {
		text := all[key]
		delete(all, key)
		all[s.same(key)] = s.same(text)
	}
}
