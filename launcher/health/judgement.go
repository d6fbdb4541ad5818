package health

import "cleat/registry"

// judgement makes a status of outcomes, by the thresholds. The zero value has
// no status yet.
type judgement struct {
	status registry.Status

	// A run of outcomes that all differ from the status in one direction.
	streak int
	better bool
	agreed registry.Status // as far as all of them went
}

// next takes an outcome.
func (j judgement) next(o registry.Status, rise, fall int) judgement {
	if o == j.status {
		return judgement{status: j.status}
	}
	better := rank(o) > rank(j.status)
	if j.status == "" {
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
		return judgement{status: j.agreed}
	}
	return j
}
