package tarx

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// be256 is n as a GNU base-256 field of the width.
func be256(n int64, width int) string {
	b := make([]byte, width)
	for i := width - 1; i >= 0; i-- {
		b[i] = byte(n)
		n >>= 8
	}
	b[0] |= 0x80
	return string(b)
}

// file is an empty regular file.
func file(name string) rec { return rec{typ: '0', name: name} }

const stdFile = " 644 0:0 0.000000000 size 0"

// TestRules has a case for each rule of the checklist that concerns one record.
func TestRules(t *testing.T) {
	long150 := strings.Repeat("d/", 75) + "f"
	part255, target := strings.Repeat("n", 255), strings.Repeat("t", 4095)
	for _, c := range []struct {
		name string
		recs []rec
		want []string // entries, warnings
		err  string   // the whole error
	}{
		{name: "ENT-1 v7", recs: []rec{{typ: 0, name: "a/b", magic: magicV7, uid: "     12", prefix: "junk"}},
			want: []string{`file "a/b" 644 10:0 0.000000000 size 0`}},
		{name: "ENT-1 ustar prefix", recs: []rec{{typ: '0', name: "f", prefix: strings.Repeat("d/", 74) + "d"}},
			want: []string{`file "` + long150 + `"` + stdFile}},
		{name: "ENT-1 star prefix is shorter", recs: []rec{{typ: '0', name: "f", prefix: "pre", edit: func(b []byte) {
			copy(b[476:], "00000000001 ")
			copy(b[508:], "tar\x00")
		}}}, want: []string{`file "pre/f"` + stdFile}},
		{name: "ENT-1 GNU has no prefix", recs: []rec{{typ: '0', name: "f", magic: magicGNU, prefix: "00000000001 "}},
			want: []string{`file "f"` + stdFile}},
		{name: "ENT-1 GNU magic with a prefix as old Go wrote it", recs: []rec{{typ: '0', name: "f", magic: magicGNU, prefix: "usr/lib/somewhere"}},
			want: []string{`file "usr/lib/somewhere/f"` + stdFile}},
		{name: "ENT-1 GNU long name and link", recs: []rec{long('L', long150), long('K', target), {typ: '2', name: "short", link: "short", magic: magicGNU}},
			want: []string{`symlink "` + long150 + `" 777 0:0 0.000000000 to "` + target + `"`}},
		{name: "ENT-1 base-256", recs: []rec{{typ: '0', name: "f", magic: magicGNU, uid: be256(3000000000, 8), mtime: be256(-100, 12), size: be256(3, 12), body: "abc"}},
			want: []string{`file "f" 644 3000000000:0 -100.000000000 size 3`}},
		{name: "ENT-1 base-256 too large", recs: []rec{{typ: '0', name: "f", size: "\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"}},
			err: `tar offset 0: broken tar: size field`},
		{name: "ENT-2 PAX overrides", recs: []rec{
			pax("path=p", "uid=7", "gid=8", "mtime=9.5", "size=3", "uname=x"), {typ: '0', name: "h", uid: "1", gid: "2", mtime: "3", size: "0", body: "abc"}},
			want: []string{`file "p" 644 7:8 9.500000000 size 3`}},
		{name: "ENT-2 linkpath", recs: []rec{pax("linkpath=there"), {typ: '2', name: "l", link: "here"}},
			want: []string{`symlink "l" 777 0:0 0.000000000 to "there"`}},
		{name: "ENT-2 an empty value removes", recs: []rec{pax("path=p", "path=", "uid=5", "uid=", "mtime=1", "mtime="), {typ: '0', name: "h", uid: "3"}},
			want: []string{`file "h" 644 3:0 0.000000000 size 0`}},
		{name: "ENT-3 size past a long name", recs: []rec{pax("size=5"), long('L', "n"), {typ: '0', name: "h", size: "0", body: "abcde"}, file("z")},
			want: []string{`file "n" 644 0:0 0.000000000 size 5`, `file "z"` + stdFile}},
		{name: "ENT-3 size past a global header", recs: []rec{pax("size=5"), {typ: 'g', name: "g", body: paxBody("size=1")}, {typ: '0', name: "h", size: "0", body: "abcde"}, file("z")},
			want: []string{`file "h" 644 0:0 0.000000000 size 5`, `file "z"` + stdFile}},
		{name: "ENT-3 two records for one entry", recs: []rec{pax("path=p", "uid=1"), pax("uid=2"), {typ: '0', name: "h"}, file("z")},
			want: []string{`file "p" 644 2:0 0.000000000 size 0`, `file "z"` + stdFile}},
		{name: "ENT-4 global header", recs: []rec{{typ: 'g', name: "pax_global_header", body: paxBody("path=no", "comment=x")}, file("f")},
			want: []string{`file "f"` + stdFile}},
		{name: "ENT-5 types", recs: []rec{{typ: 0, name: "nul"}, file("zero"), {typ: '7', name: "seven"}, {typ: '1', name: "l", link: "./zero"},
			{typ: '2', name: "s", link: "x"}, {typ: '3', name: "c", major: "1", minor: "3"}, {typ: '4', name: "b", major: "10", minor: "1"}, {typ: '5', name: "d"}, {typ: '6', name: "p"}},
			want: []string{`file "nul"` + stdFile, `file "zero"` + stdFile, `file "seven"` + stdFile, `link "l" to "zero"`,
				`symlink "s" 777 0:0 0.000000000 to "x"`, `char "c" 644 0:0 0.000000000 1:3`, `block "b" 644 0:0 0.000000000 8:1`, `dir "d" 644 0:0 0.000000000`, `fifo "p" 644 0:0 0.000000000`}},
		{name: "ENT-6 V", recs: []rec{file("a"), {typ: 'V', name: "volume"}}, want: []string{`file "a"` + stdFile},
			err: `tar offset 512, "volume": unsupported tar entry: type 'V'`},
		{name: "ENT-6 s", recs: []rec{{typ: 's', name: "sock"}}, err: `tar offset 0, "sock": unsupported tar entry: type 's'`},
		{name: "ENT-6 a whiteout of any type MRG-6", recs: []rec{{typ: 'Z', name: "d/.wh.f", body: "xyz"}, {typ: '5', name: ".wh.g"}, {typ: '2', name: ".wh.h"}, {typ: '0', name: ".wh.i", body: "content"}},
			want: []string{`whiteout "d/f"`, `whiteout "g"`, `whiteout "h"`, `whiteout "i"`}},
		{name: "ENT-7", recs: []rec{{typ: 0, name: "d/", size: "00000000005"}, {typ: '0', name: "f/", body: "x"}},
			want: []string{`dir "d" 644 0:0 0.000000000`, `file "f" 644 0:0 0.000000000 size 1`}},
		{name: "ENT-10", recs: []rec{{typ: '1', name: "l", link: "t", size: "00000000100"}, {typ: '5', name: "d", size: "00000000100"}, {typ: '2', name: "s", link: "t", size: "1"},
			{typ: '3', name: "c", size: "1"}, {typ: '6', name: "p", size: "1000"}, pax("size=99"), {typ: '5', name: "e"}, file("f")},
			want: []string{`link "l" to "t"`, `dir "d" 644 0:0 0.000000000`, `symlink "s" 777 0:0 0.000000000 to "t"`, `char "c" 644 0:0 0.000000000 0:0`, `fifo "p" 644 0:0 0.000000000`, `dir "e" 644 0:0 0.000000000`, `file "f"` + stdFile}},
		{name: "ENT-12 largest", recs: []rec{{typ: '3', name: "c", major: "7777", minor: "3777777"}}, want: []string{`char "c" 644 0:0 0.000000000 4095:1048575`}},
		{name: "ENT-12 major", recs: []rec{{typ: '4', name: "c", major: "10000", minor: "0"}}, err: `tar offset 0, "c": unsupported tar entry: device 4096:0`},
		{name: "ENT-12 minor", recs: []rec{{typ: '4', name: "c", major: "0", minor: "4000000"}}, err: `tar offset 0, "c": unsupported tar entry: device 0:1048576`},
		{name: "ENT-13", recs: []rec{{typ: '3', name: "c", major: "0", minor: "0"}}, want: []string{`char "c" 644 0:0 0.000000000 0:0`}},
		{name: "ENT-14", recs: []rec{file("/x"), file("//x//y"), file("./x"), file("a/../x"), file("../x"), file("a/../../x"), file("a/b/../c/./d")},
			want: []string{`file "x"` + stdFile, `file "x/y"` + stdFile, `file "x"` + stdFile, `file "x"` + stdFile, `file "x"` + stdFile, `file "x"` + stdFile, `file "a/c/d"` + stdFile}},
		{name: "ENT-16 bytes", recs: []rec{file("\n\\\xff"), file("a\x00b")}, want: []string{`file "\n\\\xff"` + stdFile, `file "a"` + stdFile}},
		{name: "ENT-16 NUL in PAX", recs: []rec{pax("path=a\x00b"), file("x")}, err: `tar offset 0: broken tar: NUL in a PAX name`},
		{name: "ENT-17 255", recs: []rec{pax("path=" + part255 + "/" + part255), file("x")}, want: []string{`file "` + part255 + "/" + part255 + `"` + stdFile}},
		{name: "ENT-17 256", recs: []rec{pax("path=d/n" + part255), file("x")}, err: `tar offset 1024, "d/n` + part255 + `": unsupported tar entry: a part of the name is longer than 255 bytes`},
		{name: "ENT-17 long path", recs: []rec{pax("path=" + strings.Repeat("d/", 5000) + "f"), file("x")}, want: []string{`file "` + strings.Repeat("d/", 5000) + `f"` + stdFile}},
		{name: "ENT-18", recs: []rec{{typ: '5', name: "./", mode: "700", uid: "11", gid: "11"}, {typ: '5', name: "/"}, {typ: '5', name: "."}},
			want: []string{`dir "" 700 9:9 0.000000000`, `dir "" 644 0:0 0.000000000`, `dir "" 644 0:0 0.000000000`}},
		{name: "ENT-19", recs: []rec{{typ: '0', name: "./", body: "skipped"}, {typ: '5', name: ""}, {typ: '2', name: "/", link: "x"}, file("f")},
			want: []string{`file "f"` + stdFile, "warning root-entry-skipped ", "warning root-entry-skipped ", "warning root-entry-skipped "}},
		{name: "ENT-23", recs: []rec{{typ: '0', name: "f", mode: "0104755"}, {typ: '0', name: "g", mode: "2755"}, {typ: '5', name: "d", mode: "1777"}, {typ: '2', name: "s", link: "x", mode: "644"}},
			want: []string{`file "f" 4755 0:0 0.000000000 size 0`, `file "g" 2755 0:0 0.000000000 size 0`, `dir "d" 1777 0:0 0.000000000`, `symlink "s" 777 0:0 0.000000000 to "x"`}},
		{name: "ENT-24", recs: []rec{pax("uid=4294967294", "gid=-1"), file("f"), {typ: '0', name: "g", uid: be256(4294967295, 8), gid: be256(-1, 8)}, pax("uid=4294967296"), file("h")},
			want: []string{`file "f" 644 4294967294:0 0.000000000 size 0`, `file "g"` + stdFile, `file "h"` + stdFile,
				"warning owner-out-of-range f", "warning owner-out-of-range g", "warning owner-out-of-range g", "warning owner-out-of-range h"}},
		{name: "ENT-25", recs: []rec{{typ: '0', name: "f", edit: func(b []byte) { copy(b[265:], "daemon") }}}, want: []string{`file "f"` + stdFile}},
		{name: "ENT-26", recs: []rec{pax("mtime=-100"), file("a"), pax("mtime=1.1234567899"), file("b"), pax("mtime=-1.5"), file("c"), pax("mtime=1099511627776"), file("d"), {typ: '0', name: "e", mtime: be256(1<<34, 12)}},
			want: []string{`file "a" 644 0:0 -100.000000000 size 0`, `file "b" 644 0:0 1.123456789 size 0`, `file "c" 644 0:0 -2.500000000 size 0`, `file "d" 644 0:0 1099511627776.000000000 size 0`, `file "e" 644 0:0 17179869184.000000000 size 0`}},
		{name: "ENT-27", recs: []rec{pax("atime=5", "ctime=6", "LIBARCHIVE.creationtime=7"), file("f")}, want: []string{`file "f"` + stdFile}},
		{name: "ENT-29", recs: []rec{pax("SCHILY.xattr.user.b=\x00=\n", "SCHILY.xattr.user.a=", "LIBARCHIVE.xattr.user.c=eA==", "SCHILY.acl.access=x", "RHT.security.selinux=x", "SCHILY.xattr.user.b=2"), file("f")},
			want: []string{`file "f"` + stdFile + ` user.a="" user.b="2"`}},
		{name: "ENT-30", recs: []rec{pax("SCHILY.xattr.security.capability=\x01", "SCHILY.xattr.user.u=v", "SCHILY.xattr.system.posix_acl_access=a"), {typ: '5', name: "d"}},
			want: []string{`dir "d" 644 0:0 0.000000000 security.capability="\x01" system.posix_acl_access="a" user.u="v"`}},
		{name: "ENT-31", recs: []rec{pax("SCHILY.xattr.trusted.overlay.opaque=y", "SCHILY.xattr.user.overlay.opaque=y", "SCHILY.xattr.security.selinux=x", "SCHILY.xattr.security.ima=x", "SCHILY.xattr.security.evm=x"), file("f")},
			want: []string{`file "f"` + stdFile, "warning xattr-never-shown f", "warning xattr-never-shown f", "warning xattr-never-shown f", "warning xattr-never-shown f", "warning xattr-never-shown f"}},
		{name: "ENT-32", recs: []rec{pax("SCHILY.xattr.user.u=v"), {typ: '2', name: "s", link: "x"}, pax("SCHILY.xattr.foo=v", "SCHILY.xattr.user.=v"), file("f")},
			want: []string{`symlink "s" 777 0:0 0.000000000 to "x"`, `file "f"` + stdFile, "warning xattr-dropped s", "warning xattr-dropped f", "warning xattr-dropped f"}},
		{name: "ENT-33", recs: []rec{pax("comment=hello", "user.x=y"), file("f")}, want: []string{`file "f"` + stdFile}},
		{name: "ENT-34", recs: []rec{{typ: '2', name: "a", link: "../../../etc"}, {typ: '2', name: "b", link: "/etc/"}, pax("linkpath=" + target), {typ: '2', name: "c"}},
			want: []string{`symlink "a" 777 0:0 0.000000000 to "../../../etc"`, `symlink "b" 777 0:0 0.000000000 to "/etc/"`, `symlink "c" 777 0:0 0.000000000 to "` + target + `"`}},
		{name: "ENT-34 empty", recs: []rec{{typ: '2', name: "a"}}, err: `tar offset 0, "a": unsupported tar entry: symlink target of 0 bytes`},
		{name: "ENT-34 long", recs: []rec{pax("linkpath=t" + target), {typ: '2', name: "a"}}, err: `tar offset 5120, "a": unsupported tar entry: symlink target of 4096 bytes`},
		{name: "ENT-39", recs: []rec{pax("MSWINDOWS.fileattr=32", "MSWINDOWS.rawsd=AAA="), {typ: '5', name: "Files"}}, want: []string{`dir "Files" 644 0:0 0.000000000`}},

		{name: "MRG-7 no name", recs: []rec{file("d/.wh.")}, err: `tar offset 0, "d/.wh.": unsupported tar entry: whiteout without a name`},
		{name: "MRG-7 dot", recs: []rec{file(".wh..")}, err: `tar offset 0, ".wh..": unsupported tar entry: whiteout without a name`},
		{name: "MRG-7 dots", recs: []rec{file("d/.wh...")}, err: `tar offset 0, "d/.wh...": unsupported tar entry: whiteout without a name`},
		{name: "MRG-8 MRG-10", recs: []rec{file("a/.wh..wh..opq"), {typ: '5', name: ".wh..wh..opq"}}, want: []string{`opaque "a"`, `opaque ""`}},
		{name: "MRG-14", recs: []rec{file(".wh..wh.aufs"), {typ: '5', name: ".wh..wh.plnk"}, {typ: '0', name: ".wh..wh.plnk/1.2", body: "x"}, file(".wh..wh.plnk/.wh.y"), {typ: 'Z', name: ".wh..wh.orph/z", body: "q"}, {typ: '1', name: "f", link: ".wh..wh.plnk/1.2"}},
			want: []string{`file ".wh..wh.aufs"` + stdFile, `dir ".wh..wh.plnk" 644 0:0 0.000000000`, `file ".wh..wh.plnk/1.2" 644 0:0 0.000000000 size 1`, `file ".wh..wh.plnk/.wh.y"` + stdFile, `link "f" to ".wh..wh.plnk/1.2"`}},
		{name: "MRG-15", recs: []rec{{typ: '0', name: ".wh.f/x", body: "x"}, {typ: 'Z', name: "a/.wh.b/c/d", body: "x"}, file("f")},
			want: []string{`file "f"` + stdFile, "warning entry-inside-whiteout .wh.f/x", "warning entry-inside-whiteout a/.wh.b/c/d"}},
		{name: "MRG-24", recs: []rec{{typ: '1', name: "l", link: "../../a/./b/"}, {typ: '1', name: "m", link: "/s/a"}}, want: []string{`link "l" to "a/b"`, `link "m" to "s/a"`}},
		{name: "MRG-25", recs: []rec{{typ: '1', name: ".wh.a", link: "b"}}, want: []string{`whiteout "a"`}},
		{name: "whiteout of the longest name ENT-17", recs: []rec{pax("path=.wh." + part255), file("x")}, want: []string{`whiteout "` + part255 + `"`}},

		{name: "PAX length", recs: []rec{{typ: 'x', name: "x", body: "99 path=a\n"}, file("f")}, err: `tar offset 0: broken tar: PAX record with a wrong length`},
		{name: "PAX no length", recs: []rec{{typ: 'x', name: "x", body: "path=a\n"}, file("f")}, err: `tar offset 0: broken tar: PAX record without a length`},
		{name: "PAX no key", recs: []rec{{typ: 'x', name: "x", body: "5 =a\n"}, file("f")}, err: `tar offset 0: broken tar: PAX record without a key`},
		{name: "PAX number", recs: []rec{pax("uid=0x1"), file("f")}, err: `tar offset 0: broken tar: PAX number "0x1"`},
		{name: "PAX negative size", recs: []rec{pax("size=-1"), file("f")}, err: `tar offset 0: broken tar: negative size`},
		{name: "negative size", recs: []rec{{typ: '0', name: "f", size: be256(-1, 12)}}, err: `tar offset 0, "f": broken tar: size -1`},
		{name: "octal", recs: []rec{{typ: '0', name: "f", mode: "8"}}, err: `tar offset 0: broken tar: mode field`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := parse(archive(c.recs...), Options{})
			msg := ""
			if err != nil {
				msg = err.Error()
			}
			if msg != c.err {
				t.Errorf("error %s\nwant  %s", msg, c.err)
			}
			if diff := cmp.Diff(c.want, lines(s)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
