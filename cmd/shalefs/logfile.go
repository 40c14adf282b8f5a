package main

import (
	"fmt"
	"log/slog"
	"os"
)

// fileLogger makes a logger that appends to a file.
func fileLogger(path, level, format string) (*slog.Logger, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the log file: %w", err)
	}
	return loggerTo(f, level, format)
}
