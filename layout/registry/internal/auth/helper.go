package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// helperTimeout limits one run of a credential helper.
const helperTimeout = 30 * time.Second

// runHelper asks docker-credential-NAME for the credential of a server. A
// helper that has none is no error.
func runHelper(ctx context.Context, name, server string) (Credential, error) {
	if name == "" || strings.ContainsAny(name, "/\\\x00") {
		return Credential{}, fmt.Errorf("bad helper name %q", name)
	}
	ctx, cancel := context.WithTimeout(ctx, helperTimeout)
	defer cancel()
	program := "docker-credential-" + name
	cmd := exec.CommandContext(ctx, program, "get")
	cmd.WaitDelay = time.Second
	cmd.Stdin = strings.NewReader(server)
	var out limitedBuffer
	cmd.Stdout = &out
	err := cmd.Run()
	text := out.buf.Bytes()
	if err != nil {
		if strings.Contains(strings.ToLower(string(text)), "credentials not found") {
			return Credential{}, nil
		}
		// The output is not shown: it may hold a secret.
		return Credential{}, fmt.Errorf("%s: %w", program, err)
	}
	return parseHelper(program, text)
}

func parseHelper(program string, text []byte) (Credential, error) {
	var answer struct{ Username, Secret string }
	if err := json.Unmarshal(text, &answer); err != nil {
		return Credential{}, fmt.Errorf("%s: the answer is not JSON", program)
	}
	if answer.Username == "<token>" {
		return Credential{IdentityToken: answer.Secret}, nil
	}
	return Credential{Username: answer.Username, Password: answer.Secret}, nil
}

// limitedBuffer keeps at most 1 MiB, and stops the writer there.
type limitedBuffer struct{ buf bytes.Buffer }

func (b *limitedBuffer) Write(p []byte) (int, error) {
	if b.buf.Len()+len(p) > 1<<20 {
		return 0, errors.New("the answer is larger than 1 MiB")
	}
	return b.buf.Write(p)
}
