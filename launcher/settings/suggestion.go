package settings

import "strings"

const (
	// maxDistance is how many slips of the finger a suggestion forgives.
	maxDistance = 2
	// maxSuggestName is the longest name in bytes that is looked at; longer ones are
	// no slip, and comparing grows with the square of the length.
	maxSuggestName = 128
)

// nearest returns the candidate that is the least slips away from name, or "".
func nearest(name string, candidates []string) string {
	best, least := "", maxDistance+1
	for _, candidate := range candidates {
		if d := distance(name, candidate); d < least && d*3 <= len(candidate) {
			best, least = candidate, d
		}
	}
	return best
}

// nearestVariable returns the variable that was probably meant, or "". For a
// family, only the fixed part of the name is compared.
func nearestVariable(name string) string {
	if len(name) > maxSuggestName {
		return ""
	}
	upper := strings.ToUpper(name)
	// The part after CLEAT_ is what differs; a long common beginning would
	// make everything look alike.
	const prefix = "CLEAT_"
	rest := strings.TrimPrefix(upper, prefix)
	best, least := "", maxDistance+1
	for _, v := range plainVariables {
		body := strings.TrimPrefix(v.Name, prefix)
		if d := distance(rest, body); d < least && d*2 < len(body) {
			best, least = v.Name, d
		}
	}
	for _, family := range []struct{ prefix, part string }{
		{requirePrefix, "<ALIAS>"}, {volumePrefix, "<NAME>"}, {networkPrefix, "<NAME>"}, {templatePrefix, "<NAME>"}, {envPrefix, "<NAME>"},
		{hookPrefix, "<HOOK>"}, {coprocessPrefix, "<NAME>"}, {taskPrefix, "<NAME>"},
	} {
		body := strings.TrimSuffix(strings.TrimPrefix(family.prefix, prefix), "_")
		for i := range len(rest) + 1 {
			if i < len(rest) && rest[i] != '_' {
				continue
			}
			part := family.part
			if i+1 < len(rest) {
				part = rest[i+1:]
			}
			if d := distance(rest[:i], body); d < least && d*2 < len(body) {
				best, least = family.prefix+part, d
			}
		}
	}
	return best
}

// distance is the number of letters to put in, take out, change, or swap with
// their neighbour to get from a to b.
func distance(a, b string) int {
	if d := len(a) - len(b); d > maxDistance || -d > maxDistance {
		return maxDistance + 1
	}
	before, last, next := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		next[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next[j+1] = min(last[j]+cost, last[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, last, next = last, next, before
	}
	return last[len(b)]
}
