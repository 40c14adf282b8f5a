package layout

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	testConfig   = `"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}`
	testManifest = `{"schemaVersion":2,` + testConfig + `,"layers":[]}`
	testIndex    = `{"schemaVersion":2,"manifests":[]}`
)

// withType adds a mediaType to a document.
func withType(doc, mt string) string { return `{"mediaType":"` + mt + `",` + doc[1:] }

type documentTest struct {
	name      string
	body      string
	mediaType string
	want      error
	text      string // part of the error
}

func runDocumentTests(t *testing.T, tests []documentTest) {
	t.Helper()
	for _, tt := range tests {
		doc, err := ParseDocument([]byte(tt.body), tt.mediaType)
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
			continue
		}
		if err != nil {
			if !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%s: %q does not say %q", tt.name, err, tt.text)
			}
			continue
		}
		if (doc.Manifest == nil) == (doc.Index == nil) {
			t.Errorf("%s: got %+v", tt.name, doc)
		}
	}
}

func TestMAN1(t *testing.T) {
	runDocumentTests(t, []documentTest{
		{"oci manifest", withType(testManifest, ocispec.MediaTypeImageManifest), ocispec.MediaTypeImageManifest, nil, ""},
		{"docker manifest", withType(testManifest, DockerManifest), DockerManifest, nil, ""},
		{"oci index", withType(testIndex, ocispec.MediaTypeImageIndex), ocispec.MediaTypeImageIndex, nil, ""},
		{"docker list", withType(testIndex, DockerManifestList), DockerManifestList, nil, ""},
		{"no type anywhere, manifest", testManifest, "", nil, ""},
		{"no type anywhere, index", testIndex, "application/json", nil, ""},
		{"type in the body only", withType(testManifest, DockerManifest), "text/plain; charset=utf-8", nil, ""},
		{"never released type", withType(testManifest, "application/vnd.oci.artifact.manifest.v1+json"), "application/vnd.oci.artifact.manifest.v1+json", ErrUnsupported, "artifact.manifest"},
		{"foreign type", testManifest, "application/xml", ErrUnsupported, "application/xml"},
		{"neither", `{"schemaVersion":2}`, "", ErrUnsupported, ""},
		{"no config", `{"schemaVersion":2,"layers":[]}`, ocispec.MediaTypeImageManifest, ErrInvalid, "no config"},
	})
}

func TestMAN2(t *testing.T) {
	v1 := "application/vnd.docker.distribution.manifest.v1+"
	runDocumentTests(t, []documentTest{
		{"version 1", strings.Replace(testManifest, "2", "1", 1), ocispec.MediaTypeImageManifest, ErrUnsupported, "schema 1"},
		{"version 3", strings.Replace(testManifest, "2", "3", 1), ocispec.MediaTypeImageManifest, ErrInvalid, "schemaVersion is 3"},
		{"no version", `{` + testConfig + `}`, ocispec.MediaTypeImageManifest, ErrInvalid, "schemaVersion is 0"},
		{"json type", `{"schemaVersion":1}`, v1 + "json", ErrUnsupported, "schema 1"},
		{"signed type", testManifest, v1 + "prettyjws", ErrUnsupported, "schema 1"},
		{"type in the body", withType(testManifest, v1+"prettyjws"), "", ErrUnsupported, "schema 1"},
		{"text/plain", `{"name":"x","fsLayers":[{"blobSum":"x"}]}`, "text/plain", ErrUnsupported, "schema 1"},
		{"fsLayers in a manifest", `{"fsLayers":[],` + testManifest[1:], ocispec.MediaTypeImageManifest, ErrUnsupported, "schema 1"},
	})
}

func TestMAN3(t *testing.T) {
	runDocumentTests(t, []documentTest{
		{"index as manifest", withType(testIndex, ocispec.MediaTypeImageIndex), ocispec.MediaTypeImageManifest, ErrInvalid, "image.index"},
		{"manifest as index", withType(testManifest, ocispec.MediaTypeImageManifest), ocispec.MediaTypeImageIndex, ErrInvalid, "image.manifest"},
		{"docker as oci", withType(testManifest, DockerManifest), ocispec.MediaTypeImageManifest, ErrInvalid, ""},
		{"case and parameters", withType(testManifest, strings.ToUpper(ocispec.MediaTypeImageManifest)), ocispec.MediaTypeImageManifest + "; charset=utf-8", nil, ""},
	})
}

func TestMAN4(t *testing.T) {
	both := `{"manifests":[],` + testManifest[1:]
	runDocumentTests(t, []documentTest{
		{"as manifest", both, ocispec.MediaTypeImageManifest, ErrInvalid, "both"},
		{"as index", both, ocispec.MediaTypeImageIndex, ErrInvalid, "both"},
		{"layers and manifests", `{"schemaVersion":2,"manifests":[],"layers":[]}`, ocispec.MediaTypeImageIndex, ErrInvalid, "both"},
	})
}

func TestMAN5(t *testing.T) {
	body := `{"schemaVersion":2,"x":{"a":1,"a":2},"annotations":null,"subject":null,"layers":[{"mediaType":"m","digest":"` + d256 +
		`","size":1,"annotations":null,"urls":null,"data":null,"platform":null,"artifactType":null,"y":[1]}],` +
		strings.Replace(testConfig, `"size"`, `"z":{},"size"`, 1) + `,"mediaType":null,"artifactType":null}`
	doc, err := ParseDocument([]byte(body), ocispec.MediaTypeImageManifest)
	if err != nil || len(doc.Manifest.Layers) != 1 || doc.Manifest.Subject != nil || len(doc.Warnings) != 0 {
		t.Errorf("got %+v, %v", doc, err)
	}
	cfg := `{"architecture":"amd64","os":"linux","variant":null,"config":null,"history":null,"x":[],"rootfs":{"type":"layers","diff_ids":null,"y":1}}`
	if _, warnings, err := ParseConfig([]byte(cfg)); err != nil || len(warnings) != 0 {
		t.Errorf("config: %v, %v", warnings, err)
	}
}

func TestMAN6(t *testing.T) {
	for name, body := range map[string]string{
		"same name":         strings.Replace(testManifest, `"layers":[]`, `"layers":[],"layers":[]`, 1),
		"case":              strings.Replace(testManifest, `"layers":[]`, `"layers":[],"Layers":[]`, 1),
		"long s":            strings.Replace(testManifest, `"layers":[]`, `"layers":[],"layerſ":[]`, 1),
		"escaped":           strings.Replace(testManifest, `"layers":[]`, `"layers":[],"\u006cayers":[]`, 1),
		"in a descriptor":   strings.Replace(testManifest, `"size":2`, `"size":2,"Size":3`, 1),
		"in annotations":    strings.Replace(testManifest, `"layers"`, `"annotations":{"a":"1","a":"2"},"layers"`, 1),
		"in a platform":     `{"schemaVersion":2,"manifests":[{"platform":{"os":"a","OS":"b"}}]}`,
		"not UTF-8":         strings.Replace(testManifest, `"layers"`, "\"\xff\":1,\"layers\"", 1),
		"two documents":     testManifest + testManifest,
		"garbage behind":    testManifest + "x",
		"cut":               testManifest[:len(testManifest)-1],
		"array":             "[" + testManifest + "]",
		"layers, an object": strings.Replace(testManifest, `[]`, `{}`, 1),
		"empty":             "",
		"null":              "null",
		"nesting":           `{"schemaVersion":2,"x":` + strings.Repeat("[", 100000) + strings.Repeat("]", 100000) + `}`,
	} {
		if doc, err := ParseDocument([]byte(body), ocispec.MediaTypeImageManifest); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: got %+v, %v", name, doc, err)
		}
	}
	for name, body := range map[string]string{
		"annotations that differ in case": strings.Replace(testManifest, `"layers"`, `"annotations":{"a":"1","A":"2"},"layers"`, 1),
		"final newline":                   testManifest + "\n",
		"white space":                     " \n" + strings.ReplaceAll(testManifest, ",", " ,\t"),
	} {
		if _, err := ParseDocument([]byte(body), ocispec.MediaTypeImageManifest); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	dup := `{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[],"diff_IDs":[]}}`
	if _, _, err := ParseConfig([]byte(dup)); !errors.Is(err, ErrInvalid) {
		t.Errorf("config: %v", err)
	}
}

// TestMAN9 says when a config is parsed (MAN-9, ART-1, DIG-12).
func TestMAN9(t *testing.T) {
	oci := ocispec.MediaTypeImageManifest
	tests := []struct {
		manifest, config string
		want             bool
	}{
		{oci, ocispec.MediaTypeImageConfig, true},
		{oci, strings.ToUpper(ocispec.MediaTypeImageConfig) + "; version=1", true},
		{oci, DockerConfig, true},
		{oci, "application/vnd.oci.empty.v1+json", false},
		{oci, "application/octet-stream", false},
		{oci, "", false},
		{DockerManifest, DockerConfig, true},
		{DockerManifest, "application/octet-stream", true},
		{DockerManifest, "application/json", true},
		{DockerManifest, "text/html", true},
		{DockerManifest, "", true},
		{DockerManifest, "application/vnd.docker.plugin.v1+json", false},
	}
	for _, tt := range tests {
		if got := IsImageConfig(tt.manifest, tt.config); got != tt.want {
			t.Errorf("%s in %s: got %v", tt.config, tt.manifest, got)
		}
	}
}

// TestMAN10 checks what of a config must be right (MAN-10, MAN-12).
func TestMAN10(t *testing.T) {
	const good = `{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":["DIGEST"]}}`
	for name, tt := range map[string]struct {
		body     string
		want     error
		warnings int
	}{
		"good":            {good, nil, 0},
		"other type":      {strings.Replace(good, `"layers"`, `"other"`, 1), ErrInvalid, 0},
		"no rootfs":       {`{"os":"linux"}`, ErrInvalid, 0},
		"bad diffID":      {strings.Replace(good, "DIGEST", "sha256:x", 1), ErrInvalid, 0},
		"not JSON":        {"GGUF", ErrInvalid, 0},
		"strange config":  {`{"config":{"Env":7,"env":8},` + good[1:], nil, 1},
		"strange created": {`{"created":"yesterday",` + good[1:], nil, 1},
	} {
		img, warnings, err := ParseConfig([]byte(strings.ReplaceAll(tt.body, "DIGEST", d256)))
		if !errors.Is(err, tt.want) || len(warnings) != tt.warnings {
			t.Errorf("%s: got %v, %v", name, warnings, err)
		}
		if err == nil && (img.OS != "linux" || len(img.RootFS.DiffIDs) != 1) {
			t.Errorf("%s: got %+v", name, img)
		}
	}
}

// TestFMT1 knows every layer type, and refuses the others by name (FMT-1 to FMT-3,
// FMT-11, FMT-15 to FMT-17, REG-37).
func TestFMT1(t *testing.T) {
	for mt, want := range map[string]string{
		ocispec.MediaTypeImageLayer:                                    "",
		ocispec.MediaTypeImageLayerGzip:                                "gzip",
		ocispec.MediaTypeImageLayerZstd:                                "zstd",
		"application/vnd.oci.image.layer.nondistributable.v1.tar":      "",
		"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip": "gzip",
		"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd": "zstd",
		DockerLayerTar:    "",
		DockerLayerGzip:   "gzip",
		DockerLayerZstd:   "zstd",
		DockerForeignGzip: "gzip",
		"Application/vnd.oci.image.layer.v1.tar+GZIP; x=y": "gzip",
	} {
		if got, err := LayerCompression(mt); err != nil || got != want {
			t.Errorf("%s: got %q, %v", mt, got, err)
		}
	}
	for mt, want := range map[string]string{
		"application/vnd.oci.image.layer.v1.tar+bzip2":             "layer compression",
		"application/vnd.oci.image.layer.v1.tar+xz":                "layer compression",
		"application/vnd.oci.image.layer.v1.tar+gzip+encrypted":    "encrypted layer",
		"application/vnd.stacker.image.layer.squashfs+zstd+verity": "squashfs layer",
		"application/vnd.erofs.layer.v1":                           "erofs layer",
		"application/vnd.containerd.image.layer.v1.erofs":          "erofs layer",
		"application/x-foo":                                        "unknown layer type",
		"":                                                         "unknown layer type",
	} {
		_, err := LayerCompression(mt)
		if !errors.Is(err, ErrUnsupported) || !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), mt) {
			t.Errorf("%s: got %v, want %s", mt, err, want)
		}
	}
}

// TestBadData: embedded data that is no base64 is a warning (DIG-9).
func TestBadData(t *testing.T) {
	for data, want := range map[string]int{`"aGVsbG8="`: 0, `"***"`: 1, `7`: 1, `{"a":1}`: 1, `null`: 0, `""`: 0} {
		body := strings.Replace(testManifest, `"size":2`, `"size":2,"data":`+data, 1)
		doc, err := ParseDocument([]byte(body), ocispec.MediaTypeImageManifest)
		if err != nil || len(doc.Warnings) != want {
			t.Errorf("data %s: %v, %v", data, doc, err)
		}
	}
}

// FuzzDocument parses manifests and image indexes. What parses has one meaning only:
// encoded again, it parses to the same.
func FuzzDocument(f *testing.F) {
	f.Add([]byte(testManifest), ocispec.MediaTypeImageManifest)
	f.Add([]byte(testIndex), "")
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{"mediaType":"a","digest":"sha256:b","size":1,"data":"aGk=","platform":{"os":"linux"}}]}`), ocispec.MediaTypeImageIndex)
	f.Add([]byte(`{"schemaVersion":1,"fsLayers":[]}`), "text/plain")
	f.Fuzz(func(t *testing.T, body []byte, mt string) {
		doc, err := ParseDocument(body, mt)
		if err != nil {
			if !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrUnsupported) {
				t.Errorf("error %v", err)
			}
			return
		}
		var v any = doc.Manifest
		if doc.Index != nil {
			v = doc.Index
		}
		again, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		second, err := ParseDocument(again, doc.MediaType)
		if err != nil {
			t.Fatalf("%s: %v", again, err)
		}
		if second.MediaType != doc.MediaType || (second.Index == nil) != (doc.Index == nil) {
			t.Errorf("got %+v, then %+v", doc, second)
		}
	})
}

// FuzzConfig parses configs.
func FuzzConfig(f *testing.F) {
	f.Add([]byte(`{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":["` + d256 + `"]}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		img, _, err := ParseConfig(raw)
		if err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("error %v", err)
		}
		for _, d := range img.RootFS.DiffIDs {
			if err := CheckDigest(d); err != nil {
				t.Error(err)
			}
		}
	})
}
