package validator

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/facts"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/unprivileged"
)

const (
	repairTime    = 30 * time.Second
	repairMemory  = 1 << 30 // bytes of address space
	repairNotices = 10      // lines of what the tool says that are kept
	qpdf          = "qpdf"
)

// repaired has a damaged file repaired, and inspects what came out of it like any other. It keeps the reason why the original was refused; when the repair fails,
// that is the answer.
func (i *Inspector) repaired(ctx context.Context, r Request, seen sight, refused error) (Finding, error) {
	sorry := func(why string, args ...any) (Finding, error) {
		return Finding{}, failure.New(failure.PDFCorrupt, "open document", "", fmt.Errorf("%w; repair: "+why, append([]any{errors.Unwrap(refused)}, args...)...)).
			WithHint("send it whole again")
	}
	tool, err := exec.LookPath(qpdf)
	if err != nil {
		return sorry("%s is not installed", qpdf)
	}
	file, err := os.CreateTemp(r.Scratch, "pdfmill-repaired-")
	if err != nil {
		return Finding{}, failure.New(failure.Unhealthy, "make scratch file in", r.Scratch, err).WithHint("is the disk full?")
	}
	keep := false
	defer func() {
		file.Close()
		if !keep {
			os.Remove(file.Name())
		}
	}()
	source, remove, err := mended(r, seen)
	if err != nil {
		return Finding{}, err
	}
	defer remove()
	said, err := i.tryRepair(ctx, tool, source, file.Name(), r.PasswordRef)
	if ctx.Err() != nil {
		return Finding{}, fmt.Errorf("repair document: %w", ctx.Err())
	}
	if err != nil {
		return sorry("%w: %s", err, strings.Join(said, "; "))
	}
	found, err := i.open(ctx, Request{Path: file.Name(), PasswordRef: r.PasswordRef, Thumbnail: r.Thumbnail}, seen)
	if err != nil {
		if !failure.Permanent(err) {
			return Finding{}, err
		}
		return sorry("it came out with %s", failure.Sentence(err))
	}
	hash := sha256.New()
	size, err := io.Copy(hash, file)
	if err != nil {
		return Finding{}, failure.New(failure.Unhealthy, "read scratch file", file.Name(), err)
	}
	found.Facts.Repair = &facts.Repair{
		Tool: version(ctx, tool), Reason: errors.Unwrap(refused).Error(), SHA256: hex.EncodeToString(hash.Sum(nil)), Bytes: size, Notices: said,
	}
	found.Repaired, keep = file.Name(), true
	return found, nil
}

// tryRepair has the tool repair a file. One that is encrypted stays so, under the same passwords: it is tried without one, then with each that is known. It returns
// what the tool said last.
func (i *Inspector) tryRepair(ctx context.Context, tool, from, to, passwordRef string) (said []string, err error) {
	limited, cancel := context.WithTimeout(ctx, repairTime)
	defer cancel()
	encrypted, err := mentions(from, "/Encrypt")
	if err != nil {
		return nil, err
	}
	if !encrypted {
		// The output is the same each time it is made of the same file, so that a second delivery stores the same bytes.
		return runRepair(limited, tool, i.user, i.limits.MaxBytes, "", from, to, "--deterministic-id")
	}
	known, _ := i.passwords(passwordRef) // without them the tool says what is missing
	for _, password := range append([]string{""}, known...) {
		if said, err = runRepair(limited, tool, i.user, i.limits.MaxBytes, password, from, to, "--password-file=-"); err == nil {
			break
		}
	}
	return said, err
}

// mentions reports whether a word is in a file.
func mentions(path, word string) (bool, error) {
	file, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer file.Close()
	piece := make([]byte, scanBytes+len(word))
	for kept := 0; ; {
		n, err := io.ReadFull(file, piece[kept:])
		if bytes.Contains(piece[:kept+n], []byte(word)) {
			return true, nil
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		kept = copy(piece, piece[len(piece)-len(word):])
	}
}

// runRepair runs the tool as user in a process with bounds, and without anything of this one's environment. A password goes to its standard input. It returns what the tool
// said.
func runRepair(ctx context.Context, tool string, user *unprivileged.User, maxBytes int64, password, from, to string, options ...string) ([]string, error) {
	cmd := exec.CommandContext(ctx, tool, append(options, "--warning-exit-0", "--object-streams=preserve", "--", from, to)...)
	cmd.Env = []string{"LC_ALL=C"}
	cmd.Dir = "/"
	cmd.Stdin = strings.NewReader(password + "\n")
	if err := errors.Join(user.Read(from), user.Own(to)); err != nil {
		return nil, fmt.Errorf("let %s repair as %s: %w", qpdf, user, err)
	}
	var said limitedText
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := startLimited(cmd, limits{user: user, memory: repairMemory, cpu: repairTime, fileBytes: maxBytes}); err != nil {
		return nil, fmt.Errorf("start %s: %w", qpdf, err)
	}
	err := cmd.Wait()
	lines := notices(said.String(), from, to)
	if ctx.Err() != nil {
		return lines, fmt.Errorf("%s takes longer than %s", qpdf, repairTime)
	}
	if err != nil {
		return lines, fmt.Errorf("%s gave up (%w)", qpdf, err)
	}
	return lines, nil
}

// notices are the first lines of what the tool said, without the paths of scratch files.
func notices(text string, paths ...string) []string {
	for _, p := range paths {
		text = strings.ReplaceAll(text, p, "document")
	}
	var out []string
	for line := range strings.Lines(strings.ToValidUTF8(text, "")) {
		if line = strings.TrimSpace(line); line != "" && len(out) < repairNotices {
			out = append(out, line)
		}
	}
	return out
}

// version is the first line of what the tool says about itself.
func version(ctx context.Context, tool string) string {
	out, err := exec.CommandContext(ctx, tool, "--version").Output()
	line, _, _ := strings.Cut(string(out), "\n")
	if err != nil || line == "" {
		return qpdf
	}
	return strings.Replace(line, " version", "", 1)
}

// limitedText keeps the beginning of what is written to it.
type limitedText struct{ strings.Builder }

func (t *limitedText) Write(p []byte) (int, error) {
	t.Builder.Write(p[:min(len(p), max(0, 8192-t.Len()))])
	return len(p), nil
}
