package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// listVariable names the file of counters, as in the real exporter.
const listVariable = "DCGM_EXPORTER_COLLECTORS"

// counter is one line of that file: a field of DCGM, its type for Prometheus, and its help text.
type counter struct{ name, kind, help string }

// counters reads the file that the environment names.
func counters() ([]counter, error) {
	path := os.Getenv(listVariable)
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("found: no list of counters (%w); needed: a file that %s names", err, listVariable)
	}
	defer file.Close()
	return parseCounters(file)
}

// parseCounters reads lines of three fields and refuses what the real exporter refuses: names that DCGM does not have, and
// types that Prometheus does not have.
func parseCounters(text io.Reader) ([]counter, error) {
	reader := csv.NewReader(text)
	reader.Comment = '#'
	reader.FieldsPerRecord = 3
	reader.TrimLeadingSpace = true
	lines, err := reader.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("found: %w; needed: lines of a field, its type and its help text", err)
	}
	listed := make([]counter, len(lines))
	for i, line := range lines {
		one := counter{strings.TrimSpace(line[0]), strings.TrimSpace(line[1]), strings.TrimSpace(line[2])}
		if _, known := readings[one.name]; !known {
			return nil, fmt.Errorf("found: field %q; needed: a field of DCGM that this stand-in knows", one.name)
		}
		if !slices.Contains([]string{"gauge", "counter"}, one.kind) {
			return nil, fmt.Errorf("found: type %q of %s; needed: gauge or counter", one.kind, one.name)
		}
		listed[i] = one
	}
	return listed, nil
}
