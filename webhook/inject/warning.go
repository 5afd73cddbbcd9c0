package inject

import (
	"fmt"
	"unicode/utf8"
)

// MaxWarningLength is how long a warning may be, in bytes: the API server cuts
// what is longer, and drops all of them where they are too many.
// Source: k8s.io/apiserver pkg/warning, pkg/endpoints/filters/warning.go.
const MaxWarningLength = 256

// Warning is something that the user should hear: replaced, dangerous or ignored.
type Warning struct {
	Reason  Reason
	Message string
}

// String is the warning as shown to its user.
func (w Warning) String() string { return w.Message }

func (b *builder) warn(reason Reason, format string, args ...any) {
	b.warnings = append(b.warnings, newWarning(reason, format, args...))
}

func newWarning(reason Reason, format string, args ...any) Warning {
	return Warning{Reason: reason, Message: cut(fmt.Sprintf(format, args...), MaxWarningLength)}
}

// cut shortens a text to a number of bytes, between characters.
func cut(text string, length int) string {
	const ellipsis = "…"
	if len(text) <= length {
		return text
	}
	end := length - len(ellipsis)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + ellipsis
}
