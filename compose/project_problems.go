package compose

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// position is where something stands in a project's files. The zero value is nowhere.
type position struct {
	order        int // of the file among those that were read, from 1
	file         string
	line, column int
}

// String is "file:line:column: ", and "" for nowhere.
func (p position) String() string {
	if p.file == "" {
		return ""
	}
	return fmt.Sprintf("%s:%d:%d: ", p.file, p.line, p.column)
}

// problem is one thing that is wrong with a project's files, and what to do about it.
type problem struct {
	at         position
	says, next string
}

// joined is one error that lists the problems in the order of the files, nil if there is none. Each is a *HintedError.
func joined(all []problem) error {
	slices.SortStableFunc(all, func(a, b problem) int {
		if a.at == b.at && a.at.file == "" {
			return cmp.Compare(a.says, b.says) // maps were gone through
		}
		return cmp.Or(cmp.Compare(a.at.order, b.at.order), cmp.Compare(a.at.line, b.at.line), cmp.Compare(a.at.column, b.at.column))
	})
	var errs []error
	for i, p := range all {
		if i > 0 && p.at == all[i-1].at && (p.at.file != "" || p == all[i-1]) {
			continue // what is wrong in two ways is told of once
		}
		errs = append(errs, &HintedError{Err: errors.New(p.at.String() + p.says), Next: p.next})
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}
