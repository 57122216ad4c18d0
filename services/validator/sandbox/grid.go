package sandbox

import (
	"cmp"
	"math"
	"slices"

	"github.com/klippa-app/go-pdfium/references"
	"github.com/klippa-app/go-pdfium/requests"
)

// What is looked at of a page's beginning and of its end, to see whether a table goes on over its edge.
const (
	gridChars  = 600
	gridRects  = 80
	gridCells  = 3 // of a row; two are columns of text as well
	gridRows   = 2 // neighbours whose cells are aligned
	gridSlack  = 2 // rows between the table and the edge: running heads, page numbers
	gridOffset = 3 // points that aligned cells may be apart
)

// box is a piece of text on one line, in points, upwards.
type box struct{ left, right, bottom, top float64 }

// grids returns how many columns the table has that a page's text begins with, and the one that it ends with; 0: there is none.
func (l *look) grids(page references.FPDF_TEXTPAGE, chars int) (begin, end int, err error) {
	first, err := l.boxes(page, 0, min(chars, gridChars), false)
	if err != nil {
		return 0, 0, err
	}
	last, err := l.boxes(page, max(0, chars-gridChars), min(chars, gridChars), true)
	if err != nil {
		return 0, 0, err
	}
	rows := rowsOf(last)
	slices.Reverse(rows)
	return columns(rowsOf(first)), columns(rows), nil
}

// boxes are those of so many characters; of too many the first, or the last.
func (l *look) boxes(page references.FPDF_TEXTPAGE, start, count int, last bool) ([]box, error) {
	n, err := l.instance.FPDFText_CountRects(&requests.FPDFText_CountRects{TextPage: page, StartIndex: start, Count: count})
	if err != nil {
		return nil, err
	}
	from, to := 0, max(n.Count, 0)
	if last {
		from = max(0, to-gridRects)
	} else {
		to = min(to, gridRects)
	}
	found := make([]box, 0, to-from)
	for i := from; i < to; i++ {
		r, err := l.instance.FPDFText_GetRect(&requests.FPDFText_GetRect{TextPage: page, Index: i})
		if err != nil {
			return nil, err
		}
		if r.Right > r.Left && r.Top > r.Bottom {
			found = append(found, box{r.Left, r.Right, r.Bottom, r.Top})
		}
	}
	return found, nil
}

// rowsOf puts boxes of one height into rows, from the top, and what is not apart within a row into one cell.
func rowsOf(boxes []box) [][]box {
	slices.SortStableFunc(boxes, func(a, b box) int { return cmp.Compare(b.top+b.bottom, a.top+a.bottom) })
	var rows [][]box
	for _, b := range boxes {
		if n := len(rows); n > 0 {
			if r := rows[n-1][0]; (r.top+r.bottom)/2-(b.top+b.bottom)/2 < (r.top-r.bottom)/2 {
				rows[n-1] = append(rows[n-1], b)
				continue
			}
		}
		rows = append(rows, []box{b})
	}
	for i, row := range rows {
		slices.SortStableFunc(row, func(a, b box) int { return cmp.Compare(a.left, b.left) })
		cells := row[:1]
		for _, b := range row[1:] {
			if c := &cells[len(cells)-1]; b.left-c.right < b.top-b.bottom {
				c.right = max(c.right, b.right)
			} else {
				cells = append(cells, b)
			}
		}
		rows[i] = cells
	}
	return rows
}

// columns counts those of the table that rows begin with, but for a few at the edge.
func columns(rows [][]box) int {
	for skip := 0; skip <= gridSlack && skip < len(rows); skip++ {
		if len(rows[skip]) < gridCells {
			continue
		}
		most, n := len(rows[skip]), 1
		for n < gridRows && skip+n < len(rows) && aligned(rows[skip+n-1], rows[skip+n]) {
			most = max(most, len(rows[skip+n]))
			n++
		}
		if n < gridRows {
			return 0
		}
		return most
	}
	return 0
}

// aligned reports whether two rows have cells below each other: all but one of the smaller one begin, or end, where one of the other does.
func aligned(a, b []box) bool {
	if len(b) > len(a) {
		a, b = b, a
	}
	if len(b) < gridCells {
		return false
	}
	same := 0
	for _, c := range b {
		if slices.ContainsFunc(a, func(o box) bool {
			return math.Abs(o.left-c.left) <= gridOffset || math.Abs(o.right-c.right) <= gridOffset
		}) {
			same++
		}
	}
	return same >= len(b)-1
}
