package compose

import (
	"slices"
	"strings"
)

// Nearest is the known word that was most likely meant, "" if none is near: a third of the letters may be wrong, and where more
// than one is, the first one is not, as it is in attach and detach. Among equals the first in order wins.
func Nearest(word string, known []string) string {
	best, bestDistance := "", max(1, (len(word)+1)/3)+1
	for _, k := range slices.Sorted(slices.Values(known)) {
		d := distance(word, k)
		if d > 1 && !strings.HasPrefix(k, word[:min(1, len(word))]) {
			continue
		}
		if d < bestDistance && d < max(len(word), 2) && k != word {
			best, bestDistance = k, d
		}
	}
	return best
}

// distance counts the letters to insert, delete, replace or swap with a neighbour to make b of a.
// Source: optimal string alignment, a restricted Damerau-Levenshtein distance.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}
