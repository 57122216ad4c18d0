package main

// law says how fast each of n conversions goes that share a card, as a part of the speed of one that is alone.
type law struct {
	name  string
	speed func(n int) float64
}

// oneUses is how much of a card one conversion uses, in the saturating law. It is an assumption.
const oneUses = 0.55

var (
	// linear is how marker's authors project it: each conversion is as fast as if it were alone.
	linear = law{"linear", func(int) float64 { return 1 }}
	// saturating lets conversions use what one leaves free, and then slows all of them down alike.
	saturating = law{"saturating", func(n int) float64 { return min(1, 1/(oneUses*float64(max(n, 1)))) }}
)
