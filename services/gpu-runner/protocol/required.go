package protocol

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// required reports the first field of m that the line lacks. encoding/json takes an absent field for a zero value and compares names
// without case; a contract must not, or a forgotten `context_intact` would read as false.
func required(m Message, line []byte) error {
	return requiredIn(reflect.TypeOf(m).Elem(), line, "")
}

func requiredIn(t reflect.Type, raw json.RawMessage, at string) error {
	switch t.Kind() {
	case reflect.Struct:
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(raw, &fields); err != nil {
			return fmt.Errorf("%s is not an object", at)
		}
		for field := range t.Fields() {
			name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
			value, present := fields[name]
			path := strings.TrimPrefix(at+"."+name, ".")
			nullable := field.Type.Kind() == reflect.Pointer
			switch {
			case options == "omitempty":
			case !present:
				return fmt.Errorf("%s is missing", path)
			case string(value) == "null" && !nullable:
				return fmt.Errorf("%s is null", path)
			case !nullable:
				if err := requiredIn(field.Type, value, path); err != nil {
					return err
				}
			}
		}
	case reflect.Slice:
		var items []json.RawMessage
		if err := json.Unmarshal(raw, &items); err != nil {
			return fmt.Errorf("%s is not a list", at)
		}
		for i, item := range items {
			if err := requiredIn(t.Elem(), item, fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
	}
	return nil
}
