//go:build !noasm

#include "go_asm.h"
#include "textflag.h"

// unpackLoop decodes the list of sequences of a block: see unpackJob and unpack.go.
//
// Registers through the loop:
//	R8       the three tables
//	R9       address of the word in AX
//	AX       a word of the stream, later scratch
//	BX       bits of AX that are unread; only its lowest 6 bits mean anything
//	R10 R11 R12  states: literal lengths, offsets, match lengths
//	R13 R14 R15  their entries, later scratch
//	DI       out
//	DX SI BP     offset, literals, match of the sequence
//	CX       scratch
//
// SHRX looks at the lowest 6 bits of the count and BZHI at the lowest 8, so entries serve as
// counts as they are.

#define LL (const_tabLL*fseTable__size)
#define OF (const_tabOF*fseTable__size)
#define ML (const_tabML*fseTable__size)

// The frame.
#define rep0   0(SP)
#define rep1   4(SP)
#define rep2   8(SP)
#define final  16(SP) // the last place of out
#define least  24(SP) // R9 where a byte of the word's end is the first of the stream
#define where  32(SP) // bytes of the frame so far
#define window 40(SP)
#define refs   48(SP) // 0: no notes
#define lits   56(SP)
#define bad    64(SP)
#define start  72(SP) // offset of the block in the stream
#define shift  80(SP) // offset of the frame in the stream

// REFILL makes at least 56 bits unread, where at most 56 were taken since the last time.
#define REFILL \
	RORXQ $3, BX, CX; \
	ANDL  $7, CX; \
	LEAQ  -7(R9)(CX*1), R9; \
	MOVQ  (R9), AX; \
	ORQ   $56, BX

// VALUE sets to to the value of the entry of a table in a state.
#define VALUE(entry, table, state, to) \
	SUBQ  entry, BX; \
	SHRXQ BX, AX, to; \
	BZHIQ entry, to, to; \
	ADDL  (table+4)(R8)(state*8), to

// NEXT goes to the next state of a table. It spoils the entry.
#define NEXT(entry, table, state) \
	SHRQ    $8, entry; \
	SUBQ    entry, BX; \
	MOVWLZX (table+2)(R8)(state*8), state; \
	SHRXQ   BX, AX, CX; \
	BZHIQ   entry, CX, CX; \
	ADDL    CX, state

// FIRST reads the first state of a table.
#define FIRST(table, state) \
	MOVBLZX (table+fseTable_log)(R8), CX; \
	SUBQ    CX, BX; \
	SHRXQ   BX, AX, state; \
	BZHIQ   CX, state, state

// func unpackLoop(j *unpackJob)
TEXT ·unpackLoop(SB), NOSPLIT, $88-8
	MOVQ j+0(FP), DI
	MOVQ unpackJob_tabs(DI), R8
	MOVQ unpackJob_in(DI), R9
	LEAQ (const_headroom-7)(R9), AX
	MOVQ AX, least
	MOVQ unpackJob_left(DI), BX
	MOVQ BX, CX
	SHRQ $3, CX
	LEAQ -7(R9)(CX*1), R9
	MOVQ (R9), AX
	ORQ  $56, BX
	MOVL (unpackJob_reps+0)(DI), CX
	MOVL CX, rep0
	MOVL (unpackJob_reps+4)(DI), CX
	MOVL CX, rep1
	MOVL (unpackJob_reps+8)(DI), CX
	MOVL CX, rep2
	MOVQ unpackJob_window(DI), CX
	MOVQ CX, window
	MOVQ unpackJob_since(DI), DX
	MOVQ DX, where
	MOVQ unpackJob_start(DI), CX
	MOVQ CX, start
	SUBQ DX, CX
	MOVQ CX, shift
	MOVQ unpackJob_refs(DI), CX
	MOVQ CX, refs
	XORL CX, CX
	MOVQ CX, lits
	MOVQ CX, bad
	MOVQ unpackJob_n(DI), CX
	MOVQ unpackJob_out(DI), DI
	IMUL3Q $seq__size, CX, CX
	LEAQ -seq__size(DI)(CX*1), CX
	MOVQ CX, final

	FIRST(LL, R10)
	FIRST(OF, R11)
	FIRST(ML, R12)

loop:
	REFILL
	CMPQ R9, least
	JLO  short
	MOVQ OF(R8)(R11*8), R14
	MOVQ ML(R8)(R12*8), R15
	MOVQ LL(R8)(R10*8), R13
	LEAQ (R14)(R15*1), CX
	ADDQ R13, CX
	CMPB CX, $30             // extra bits: 30 and 26 for the states are in the word
	JHI  many
	VALUE(R14, OF, R11, DX)
	VALUE(R15, ML, R12, BP)
	VALUE(R13, LL, R10, SI)

states:
	CMPQ DI, final
	JEQ  values
	NEXT(R13, LL, R10)
	NEXT(R15, ML, R12)
	NEXT(R14, OF, R11)

values:
	CMPL DX, $3
	JLS  repeat
	SUBL $3, DX
	MOVL rep0, R13
	MOVL rep1, R14
	MOVL DX, rep0
	MOVL R13, rep1
	MOVL R14, rep2

offset:
	MOVL SI, seq_lit(DI)
	MOVL BP, seq_match(DI)
	MOVL DX, seq_off(DI)
	ADDQ SI, lits
	MOVQ where, AX
	ADDQ SI, AX

	// The sign of bad: before the frame, or before the window.
	MOVQ AX, CX
	SUBQ DX, CX
	MOVQ window, R13
	SUBQ DX, R13
	ORQ  CX, R13
	ORQ  R13, bad

	MOVQ    refs, R14
	TESTQ   R14, R14
	JZ      noted
	MOVQ    R14, R15
	LEAQ    8(R14), R13
	ADDQ    shift, CX
	CMPQ    CX, start
	CMOVQLT R13, R15   // a match that begins before the block is kept
	SHLQ    $const_refLenBits, CX
	ORQ     BP, CX
	MOVQ    CX, (R14)
	MOVQ    R15, refs

noted:
	ADDQ BP, AX
	MOVQ AX, where
	ADDQ $seq__size, DI
	CMPQ DI, final
	JLS  loop

	// left: the bytes before the word and the bits in it
	MOVQ j+0(FP), DI
	SUBQ unpackJob_in(DI), R9
	SHLQ $3, R9
	ANDL $63, BX
	ADDQ BX, R9
	MOVQ R9, unpackJob_left(DI)
	MOVL rep0, AX
	MOVL AX, (unpackJob_reps+0)(DI)
	MOVL rep1, AX
	MOVL AX, (unpackJob_reps+4)(DI)
	MOVL rep2, AX
	MOVL AX, (unpackJob_reps+8)(DI)
	MOVQ where, AX
	SUBQ unpackJob_since(DI), AX
	MOVQ AX, unpackJob_total(DI)
	MOVQ lits, AX
	MOVQ AX, unpackJob_lits(DI)
	MOVQ bad, AX
	MOVQ AX, unpackJob_bad(DI)
	MOVQ refs, AX
	SUBQ unpackJob_refs(DI), AX
	SHRQ $3, AX
	MOVQ AX, unpackJob_nrefs(DI)
	RET

// An offset value of 1, 2 or 3. CX is which it means: 1, 2, 3, or with no literals 4
// for the first less 1. Only here an offset can be 0.
repeat:
	XORL    CX, CX
	TESTL   SI, SI
	SETEQ   CX
	ADDL    DX, CX
	MOVL    rep0, R13
	MOVL    rep1, R14
	MOVL    rep2, R15
	LEAL    -1(R13), DX
	CMPL    CX, $3
	CMOVLEQ R15, DX
	CMOVLCC R14, R15
	CMPL    CX, $2
	CMOVLEQ R14, DX
	CMOVLCC R13, R14
	CMPL    CX, $1
	CMOVLEQ R13, DX
	MOVL    DX, rep0
	MOVL    R14, rep1
	MOVL    R15, rep2
	LEAQ    -1(DX), CX
	ORQ     CX, bad
	JMP     offset

many:
	VALUE(R14, OF, R11, DX)
	REFILL
	VALUE(R15, ML, R12, BP)
	VALUE(R13, LL, R10, SI)
	REFILL
	JMP states

short:
	MOVQ j+0(FP), DI
	MOVB $1, unpackJob_short(DI)
	RET
