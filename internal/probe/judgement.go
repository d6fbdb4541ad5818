package probe

import "cleat/registry"

// Judgement makes a status of outcomes, by the thresholds. The zero value has
// no status yet.
type Judgement struct {
	Status registry.Status // empty: no verdict yet

	// A run of outcomes that all differ from the status in one direction.
	streak int
	better bool
	agreed registry.Status // as far as all of them went
}

// Next takes an outcome.
func (j Judgement) Next(o registry.Status, rise, fall int) Judgement {
	if o == j.Status {
		return Judgement{Status: j.Status}
	}
	better := rank(o) > rank(j.Status)
	if j.Status == "" {
		better = o.Serving()
	}
	if j.streak == 0 || better != j.better {
		j.streak, j.better, j.agreed = 0, better, o
	}
	j.streak++
	if better == (rank(o) < rank(j.agreed)) {
		j.agreed = o // nearer to the status: all of them went at least this far
	}
	if better && j.streak >= rise || !better && j.streak >= fall {
		return Judgement{Status: j.agreed}
	}
	return j
}
