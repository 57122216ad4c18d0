package job

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Needs are what a document asks of the machine that converts it, beyond an engine: `memory=40` (GiB of one device's memory, at least), `version=2` (of the engine), or
// anything that a gpu-runner is labelled with, like `region=eu`. Written in one way, sorted and joined by plus signs, they are a word of a subject.

// Labels that a gpu-runner finds by itself.
const (
	LabelMemory  = "memory"  // of its largest device, in GiB
	LabelVersion = "version" // of the engine: the number before the first point
)

// maxNeeds bounds how many a document may have.
const maxNeeds = 8

var need = regexp.MustCompile(`^([a-z][a-z0-9-]{0,31})=([A-Za-z0-9][A-Za-z0-9_-]{0,31})$`)

// ParseNeeds reads needs, separated by spaces, commas or plus signs, and returns them as they are written in subjects; "" is none.
func ParseNeeds(text string) (string, error) {
	found := map[string]string{}
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" ,+", r) }) {
		parts := need.FindStringSubmatch(word)
		if parts == nil {
			return "", fmt.Errorf("%q is not NAME=VALUE, like region=eu or memory=40GB", word)
		}
		name, value := parts[1], parts[2]
		if name == LabelMemory {
			n, err := gibibytes(value)
			if err != nil {
				return "", err
			}
			value = strconv.Itoa(n)
		}
		if had, twice := found[name]; twice && had != value {
			return "", fmt.Errorf("%s is both %s and %s", name, had, value)
		}
		found[name] = value
	}
	if len(found) > maxNeeds {
		return "", fmt.Errorf("%d needs, the limit is %d", len(found), maxNeeds)
	}
	var words []string
	for _, name := range slices.Sorted(maps.Keys(found)) {
		words = append(words, name+"="+found[name])
	}
	return strings.Join(words, "+"), nil
}

// gibibytes reads 40, 40GB or 40GiB; whoever says GB of a device means GiB.
func gibibytes(text string) (int, error) {
	digits := strings.TrimRight(text, "GiBgb")
	n, err := strconv.Atoi(digits)
	if unit := strings.ToLower(text[len(digits):]); err != nil || n < 1 || !slices.Contains([]string{"", "g", "gb", "gib"}, unit) {
		return 0, fmt.Errorf("memory=%s: give whole gigabytes, like memory=40GB", text)
	}
	return n, nil
}

// Route names those who may convert a document: an engine, and what is needed of its machine.
func Route(engine, needs string) string {
	if needs == "" {
		return engine
	}
	return engine + "@" + needs
}

// ParseRoute reads a route, like marker or marker@region=eu.
func ParseRoute(route string) (engine, needs string, err error) {
	engine, text, more := strings.Cut(route, "@")
	if needs, err = ParseNeeds(text); err == nil && (engine == "" || more && needs == "") {
		err = errors.New("name an engine, and what is needed behind the @")
	}
	if err != nil {
		return "", "", fmt.Errorf("%q: %w", route, err)
	}
	return engine, needs, nil
}

// ParseRoutes reads several, each written as it is in subjects.
func ParseRoutes(routes []string) ([]string, error) {
	var out []string
	var faults []error
	for _, r := range routes {
		engine, needs, err := ParseRoute(r)
		out, faults = append(out, Route(engine, needs)), append(faults, err)
	}
	return out, errors.Join(faults...)
}

// Labels are what a gpu-runner is, by name.
type Labels map[string]string

// Meet reports whether who has these labels can do what is needed.
func (l Labels) Meet(needs string) bool {
	if needs == "" {
		return true
	}
	for word := range strings.SplitSeq(needs, "+") {
		name, want, _ := strings.Cut(word, "=")
		have, labelled := l[name]
		switch {
		case !labelled:
			return false
		case name == LabelMemory:
			if atoi(have) < atoi(want) {
				return false
			}
		case name == LabelVersion:
			if have, _, _ = strings.Cut(have, "."); have != want {
				return false
			}
		case have != want:
			return false
		}
	}
	return true
}

// atoi is 0 for what is no number: who has no memory has enough for nobody.
func atoi(digits string) int {
	n, _ := strconv.Atoi(digits)
	return n
}

func setNeeds(o *Options, v string) (err error) {
	o.Needs, err = ParseNeeds(v)
	return err
}
