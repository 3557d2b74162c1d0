from uuid import UUID

from event_generator.draws import generator
from event_generator.identifiers import first_number, scattered_48_bit, uuid4_texts


def test_scattered_numbers_never_repeat():
    numbers = scattered_48_bit(2**48 - 1_000, 1_000_000)

    assert len(set(numbers.tolist())) == 1_000_000
    assert int(numbers.max()) < 2**48


def test_scattering_continues_where_it_left_off():
    whole = scattered_48_bit(5, 20).tolist()

    assert scattered_48_bit(5, 10).tolist() + scattered_48_bit(15, 10).tolist() == whole


def test_scattered_numbers_use_every_bit():
    numbers = scattered_48_bit(first_number("any"), 10_000)
    ones = [int((numbers >> bit & 1).sum()) for bit in range(48)]

    assert all(4_500 < count < 5_500 for count in ones)


def test_uuids_are_of_version_4():
    texts = uuid4_texts(generator(1), 100)

    assert [str(UUID(text)) for text in texts] == texts
    assert {UUID(text).version for text in texts} == {4}
    assert len(set(texts)) == 100
