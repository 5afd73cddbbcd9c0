package render

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf16"
)

// chunk is the text of one YAML document, without the marks around it.
type chunk struct {
	number int // of the document in its input, from 1
	line   int // of the text's first line in its input, from 1
	text   string
}

// decodeText gives an input as UTF-8 with line feeds. Like kubectl it follows a
// byte order mark, which editors and PowerShell leave behind.
func decodeText(data []byte) (string, error) {
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		data = data[3:]
	case bytes.HasPrefix(data, []byte("\xff\xfe")):
		order = binary.LittleEndian
	case bytes.HasPrefix(data, []byte("\xfe\xff")):
		order = binary.BigEndian
	}
	if order != nil {
		if len(data)%2 != 0 {
			return "", fmt.Errorf("it is cut off: UTF-16 has two bytes a character")
		}
		units := make([]uint16, 0, len(data)/2)
		for at := 2; at < len(data); at += 2 {
			units = append(units, order.Uint16(data[at:]))
		}
		data = []byte(string(utf16.Decode(units)))
	}
	return strings.ReplaceAll(string(data), "\r\n", "\n"), nil
}

// splitter cuts a text into YAML documents. Between documents ("prefix" in the
// YAML specification) there may be comments, which belong to the next document,
// and directives.
type splitter struct {
	chunks []chunk
	number int
	inside bool            // a document has begun
	text   strings.Builder // of the document or prefix, whole lines
	line   int             // where text begins
}

// split cuts a text at its document marks. A document that is only comments is
// counted and left to the reader, who finds nothing in it.
func split(text string) ([]chunk, error) {
	s := &splitter{line: 1}
	for number, line := range strings.SplitAfter(text, "\n") {
		if err := s.add(line, number+1); err != nil {
			return nil, err
		}
	}
	s.end(0)
	return s.chunks, nil
}

// add takes in a line, the number-th of the text.
func (s *splitter) add(line string, number int) error {
	content, start := cutMark(line, "---")
	_, end := cutMark(line, "...")
	switch {
	case start:
		s.mark(content, number)
	case end:
		s.end(number + 1)
	case s.inside:
		s.text.WriteString(line)
	case strings.HasPrefix(line, "%YAML"):
		s.text.WriteString("\n")
	case strings.HasPrefix(line, "%"):
		return fmt.Errorf("line %d: directive %s is not supported", number, strings.Fields(line)[0])
	default:
		if trimmed := strings.TrimSpace(line); trimmed != "" && trimmed[0] != '#' {
			s.begin()
		}
		s.text.WriteString(line)
	}
	return nil
}

// mark begins a document at a mark on a line, with what follows on that line.
func (s *splitter) mark(content string, number int) {
	if s.inside || strings.TrimSpace(s.text.String()) == "" {
		s.end(number)
		if content == "\n" {
			content, s.line = "", number+1
		}
	}
	s.begin()
	s.text.WriteString(content) // below comments the mark leaves an empty line
}

func (s *splitter) begin() {
	s.inside = true
	s.number++
}

// end closes the document, if one has begun; the next text begins at a line.
func (s *splitter) end(next int) {
	if s.inside {
		s.chunks = append(s.chunks, chunk{number: s.number, line: s.line, text: s.text.String()})
	}
	s.text.Reset()
	s.inside, s.line = false, next
}

// cutMark gives what follows a document mark on its line; false without a mark.
func cutMark(line, mark string) (string, bool) {
	rest, found := strings.CutPrefix(line, mark)
	if !found || rest != "" && !strings.ContainsAny(rest[:1], " \t\r\n") {
		return "", false
	}
	rest = strings.TrimLeft(rest, " \t")
	if rest == "" {
		rest = "\n"
	}
	return rest, true
}
