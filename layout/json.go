package layout

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"unicode/utf8"
)

// DecodeJSON decodes one JSON value into the struct or slice that v points to. Unknown names
// are ignored (MAN-5); names that occur twice in an object that is read, or differ only in
// case, are refused, since decoders disagree about which one counts (MAN-6).
// The error wraps ErrInvalid.
func DecodeJSON(raw []byte, v any) error {
	if !utf8.Valid(raw) {
		return fmt.Errorf("not UTF-8: %w", ErrInvalid)
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	if err := checkNames(dec, reflect.TypeOf(v).Elem(), "document"); err != nil {
		return fmt.Errorf("%w (%w)", err, ErrInvalid)
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("bytes after the JSON document: %w", ErrInvalid)
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return fmt.Errorf("%w (%w)", err, ErrInvalid)
	}
	return nil
}

// checkNames reads one value and checks the names of the objects in it that correspond
// to structs and maps of t. The recursion is as deep as t, not as the input.
func checkNames(dec *json.Decoder, t reflect.Type, where string) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == rawMessageType || implementsUnmarshaler(t):
		return skipValue(dec)
	case t.Kind() == reflect.Struct, t.Kind() == reflect.Map:
	case t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8:
	default:
		return skipValue(dec)
	}
	tok, err := dec.Token()
	if err != nil {
		return unexpected(err)
	}
	switch {
	case tok == nil: // null stands for a missing value
		return nil
	case tok == json.Delim('[') && t.Kind() == reflect.Slice:
		return checkArray(dec, t.Elem(), where)
	case tok == json.Delim('{') && t.Kind() == reflect.Struct:
		return checkObject(dec, structFields(t), true, where)
	case tok == json.Delim('{') && t.Kind() == reflect.Map:
		return checkObject(dec, func(string) reflect.Type { return t.Elem() }, false, where)
	}
	return fmt.Errorf("%s is of the wrong JSON type", where)
}

func checkArray(dec *json.Decoder, elem reflect.Type, where string) error {
	for i := 0; dec.More(); i++ {
		if err := checkNames(dec, elem, fmt.Sprintf("%s[%d]", where, i)); err != nil {
			return err
		}
	}
	_, err := dec.Token()
	return unexpected(err)
}

// checkObject reads the rest of an object. field gives the type of a name, nil if the
// name means nothing; fold says that names are compared without case.
func checkObject(dec *json.Decoder, field func(string) reflect.Type, fold bool, where string) error {
	seen := map[string]bool{}
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return unexpected(err)
		}
		name, _ := tok.(string)
		ft := field(name)
		if ft == nil {
			if err := skipValue(dec); err != nil {
				return err
			}
			continue
		}
		key := name
		if fold {
			key = foldName(name)
		}
		if seen[key] {
			return fmt.Errorf("%s has the name %q twice", where, name)
		}
		seen[key] = true
		if err := checkNames(dec, ft, where+"."+name); err != nil {
			return err
		}
	}
	_, err := dec.Token()
	return unexpected(err)
}

func skipValue(dec *json.Decoder) error {
	var raw json.RawMessage
	return unexpected(dec.Decode(&raw))
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

var (
	rawMessageType  = reflect.TypeFor[json.RawMessage]()
	unmarshalerType = reflect.TypeFor[json.Unmarshaler]()
)

func implementsUnmarshaler(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(unmarshalerType)
}

// structFields finds the type of a JSON name in a struct, as encoding/json would:
// without regard to case, and through embedded structs.
func structFields(t reflect.Type) func(string) reflect.Type {
	fields := map[string]reflect.Type{}
	for _, f := range reflect.VisibleFields(t) {
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && tag == "" || tag == "-" || !f.IsExported() {
			continue
		}
		if tag == "" {
			tag = f.Name
		}
		fields[foldName(tag)] = f.Type
	}
	return func(name string) reflect.Type { return fields[foldName(name)] }
}

// foldName maps names that encoding/json takes for one to one string. It folds as
// strings.EqualFold does: ſ is s, and the Kelvin sign is k.
func foldName(s string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case 'ſ':
			return 's'
		case '\u212a':
			return 'k'
		}
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
