"""The table of instructions that `webvm isa` prints."""
from webvm import cli
from webvm.jit import support
from webvm.x86 import opcodes
from webvm.x86.undefined import ROWS


def lines(): return {(line.opcode, line.operands): line for line in support.support_table()}


def test_every_instruction_of_a_processor_here_is_executed_by_something():
    """What a program can't run is privileged, or belongs to a feature that no processor here has."""
    assert [line for line in support.support_table() if line.cpu != "-" and line.status == "-"] == []


def test_who_executes_what():
    table = lines()
    assert table["01", "Ev, Gv"] == ("01", "add", "Ev, Gv", "", "x86-64", "region", "")
    assert table["F4", ""].status == "#GP"
    assert table["C8", "Iw, Ib"].status == "oracle"
    assert table["CC", ""].status == "interpreter"
    assert table["F3 0F B8", "Gv, Ev"][3:6] == ("popcnt", "x86-64-v2", "region")


def test_the_undefined_flags_are_of_instructions_that_exist():
    meanings = {row.meaning for row in opcodes.ROWS}
    assert [name for names, *_ in ROWS for name in names if name not in meanings] == []
    assert lines()["0F A3", "Ev, Gv"].undefined == "OF SF AF PF"
    assert "[AF]" in lines()["D3 /4", "Ev, CL"].undefined


def test_the_command_prints_a_line_for_each(capsys):
    assert cli.main(["isa"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("opcode ") and text.count("\n") > len(support.support_table())
    assert "0 -            not implemented" in text
