"""Which column of a file is which: the header found, names known, doubtful files refused."""

from __future__ import annotations

import io
import re

import pandas as pd
import pytest
from advice import follow
from hypothesis import given
from hypothesis import strategies as st
from rating_files import assert_triples, write

from autorec_np.data.ratings import as_ratings
from autorec_np.sources.reading import find_pairs, read_ratings


def read(text, **options):
    return read_ratings(io.StringIO(text), **options)


def triples(R):
    return [part.tolist() for part in R.triples()]


@pytest.mark.parametrize(
    ("text", "users", "items", "ratings"),
    [
        (",User_id,Item_id,Score\n0,31,12,0\n1,31,13,1\n", [31, 31], [12, 13], [0, 1]),
        (",customer,product,score\n0,17,203,4\n1,18,204,2\n", [17, 18], [203, 204], [4, 2]),
        ("item_id:token\tuser_id:token\trating:x\n41\t7\t3\n42\t8\t1\n", [7, 8], [41, 42], [3, 1]),
        ("userID,placeID,rating,food_rating,x_rating\nP,71,2,2,1\n", ["P"], [71], [2]),
        ("review_id,user_id,business_id,stars\nr1,u1,b1,4\nr2,u2,b1,5\n", ["u1", "u2"], ["b1"] * 2,
         [4, 5]),
        ("_id,movie_id,rating_val,user_id\na1,film,7,ann\n", ["ann"], ["film"], [7]),
        ("user_id,book_id,is_read,rating\n0,48,1,5\n0,47,0,3\n", [0, 0], [48, 47], [5, 3]),
        ("1,5,2.5,\n1,6,3.0,\n2,5,4.0,\n", [1, 1, 2], [5, 6, 5], [2.5, 3, 4]),
        ("userId,movieId,rating,\n1,5,2.5,\n1,6,3.0,\n", [1, 1], [5, 6], [2.5, 3]),
        ("1\t\t3\t\t0.5\n1\t\t4\t\t-8.25\n2\t\t3\t\t-6.5\n", [1, 1, 2], [3, 4, 3],
         [0.5, -8.25, -6.5]),
    ],
)  # fmt: skip
def test_what_people_have_is_read(text, users, items, ratings):
    assert triples(read(text)) == [users, items, ratings]


COLUMNS = ["customer_id", "sku", "stars", "review_date", "comment"]
RECORDS = [
    ["7", "a-1", "4", "2004-02-01", "good, or so"],
    ["7", "b-2", "2", "2004-02-02", ""],
    ["9", "a-1", "5", "2004-03-01", 'said "yes"'],
]


@given(st.permutations(range(5)), st.sampled_from(",;\t|"))
def test_any_order_of_named_columns_gives_the_same_ratings(order, separator):
    frame = pd.DataFrame(RECORDS, columns=COLUMNS)[[COLUMNS[place] for place in order]]
    R = read(frame.to_csv(index=False, sep=separator))
    assert triples(R) == [[7, 7, 9], ["a-1", "b-2", "a-1"], [4, 2, 5]]
    assert R.timestamps[R.order].tolist() == [1075593600, 1075680000, 1078099200]
    assert R.columns.left_out == ("comment",)


def test_a_file_and_its_frame_are_read_alike():
    text = "who,what,much,when\n1,10,3,1200000000\n1,11,5,1200000060\n2,10,4,1200000120\n"
    whole, framed = read(text), as_ratings(pd.read_csv(io.StringIO(text)))
    assert triples(whole) == triples(framed)
    assert whole.columns == framed.columns
    assert whole.timestamps.tolist() == framed.timestamps.tolist()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("user_id:token\titem_id:token\ttimestamp:float\n1\t5\t12\n", "'timestamp:float' in"),
        ("1,5,1200000000\n1,6,1200000060\n", "column 2 in the place of the rating holds times"),
        ("a,b,c\n1,5,1999\n1,6,2004\n", "column 'c' in the place of the rating holds years"),
        ("1,5,2,5\n1,6,3,0\n2,5,4,5\n", "column 3 holds no times and no name says what it is"),
        ("a,b,c,d\nx,50,2,5\ny,60,3,0\n", "column 'd' holds no times and no name says what it is"),
        (",a,b,c\n0,17,203,4\n1,17,204,2\n", "'' in the place of the user means something else"),
        ("x,y,z,user,item\n1,2,3,4,5\n", "5 columns, and no name says which is the rating"),
        ("who,what,much,how\na,b,3,x\n", "'how' holds no times"),
        ("brewery_id,review_time,review_overall,name,style,beer_name\n10,1200000100,1.5,a,b,c\n",
         "6 columns, and no name says which is the user"),
    ],
)  # fmt: skip
def test_what_is_not_known_for_sure_is_an_error(text, reason):
    with pytest.raises(ValueError, match=re.escape(reason)) as caught:
        read(text)
    assert "pass columns=(user, item, rating), by name or by position from 0" in str(caught.value)
    assert len(read(text, columns=(0, 1, 2))) >= 1


def test_two_columns_hold_no_rating():
    with pytest.raises(ValueError, match="no separator makes three fields of 'Id,Prediction'"):
        read("Id,Prediction\nr4_c1,4\nr6_c1,3\n")
    with pytest.raises(ValueError, match="there is no column for the rating"):
        read("user,item,\n1,2,\n1,3,\n")


WIDE = "user,Harbour,Lighthouse,Meadow,Orchard\n1,5,0,3,4\n2,0,4,1,2\n3,2,1,0,5\n"
RATED = sorted(
    [
        *[(1, "Harbour", 5), (1, "Meadow", 3), (1, "Orchard", 4)],
        *[(2, "Lighthouse", 4), (2, "Meadow", 1), (2, "Orchard", 2)],
        *[(3, "Harbour", 2), (3, "Lighthouse", 1), (3, "Orchard", 5)],
    ]
)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text,
        lambda text: text.replace(",", ";"),
        lambda text: text.replace("user", ""),
        lambda text: text.replace("user", "client number"),
        lambda text: re.sub(",0", ",", text),
        lambda text: re.sub(r",(\d)", r",\1.0", text),
    ],
    ids=["as it is", "semicolon", "saved index", "unusual name", "empty cells", "floats"],
)
def test_a_table_of_users_and_items_is_an_error_and_its_advice_gives_its_ratings(tmp_path, change):
    path = write(tmp_path / "wide.csv", change(WIDE))
    with pytest.raises(ValueError, match="looks like a table of users x items") as caught:
        read_ratings(path)
    R = follow(caught.value, "autorec_np.data.as_ratings(")
    assert sorted(zip(*triples(R), strict=True)) == RATED
    R = as_ratings(follow(caught.value, "scipy.sparse.csr_array("))
    assert (R.shape, len(R)) == ((3, 4), 9)


@pytest.mark.parametrize(
    "text",
    [
        "user,Harbour,Lighthouse\n1,5,0\n2,0,4\n3,2,1\n",
        "Harbour,Lighthouse,Meadow\n5,0,3\n0,4,1\n2,1,0\n",
        "user,10,20\n1,5,0\n2,0,4\n3,2,1\n",
        ",10,20,30\n1,5,0,1\n2,0,4,2\n3,2,1,5\n",
        "5,0,3,4\n0,4,1,2\n2,1,0,5\n",
        "5,0,3\n0,4,1\n2,1,0\n",
        "2,-7.82,8.79,99,99,99\n2,4.08,-0.29,99,99,99\n",
        "1,2,3\n5,0,3\n0,4,1\n2,1,0\n",
    ],
)
def test_narrow_and_nameless_tables_are_refused(text):
    with pytest.raises(ValueError, match="looks like a table of users x items"):
        read(text)


def test_a_comment_that_is_not_stated_is_an_error_whose_advice_works():
    for text in ("#user item rating\n1 1 5\n1 2 3\n", "% bip weighted\n% 4 3 2\n1 1 5\n1 2 3\n"):
        with pytest.raises(ValueError, match=r"comment, pass comment='[#%]'") as caught:
            read(text)
        mark = re.search("comment='(.)'", str(caught.value))[1]
        assert triples(read(text, comment=mark)) == [[1, 1], [1, 2], [5, 3]]
        assert triples(read(text, comment=mark, columns=(0, 1, 2)))[2] == [5, 3]


def test_ids_may_begin_as_comments_do():
    assert triples(read("#1,a,5\n#2,b,3\n")) == [["#1", "#2"], ["a", "b"], [5, 3]]
    assert triples(read("#1,a,5\n2,b,3\n"))[0] == ["#1", "2"]
    with_header = read("#user,item,rating\n#1,a,5\n", columns=("#user", "item", "rating"))
    assert with_header.user_ids.tolist() == ["#1"]


def test_what_was_read_is_said():
    R = read(",User_id,Item_id,Score\n0,31,12,0\n1,31,13,1\n")
    assert repr(R).endswith(
        "user = 'User_id', item = 'Item_id', rating = 'Score', without '' (a saved index))"
    )
    assert str(read("1::2::3\n").columns) == "user = column 0, item = column 1, rating = column 2"
    doubled = read("1\t\t3\t\t0.5\n1\t\t4\t\t1\n")
    assert str(doubled.columns) == "user = column 0, item = column 2, rating = column 4"
    assert repr(read("1,2,3\n", columns=(1, 0, 2))).endswith("item = column 0, rating = column 2)")
    assert_triples(read("1,2,3\n", columns=(1, 0, 2)), ["2"], ["1"], [3])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1,2\n3,4", (False, 0, 1)),
        ("ann,heat\nbob,heat", (False, 0, 1)),
        ("item,user\n1,2", (True, 1, 0)),
        ("who,what\n1,2", (True, 0, 1)),
        ("who,what\n1,heat", (True, 0, 1)),
        ("product,x,customer\n1,2,3", (True, 2, 0)),
        ("1,2,4.5\n1,3,5", (False, 0, 1)),
        ("user,item\n", (True, 0, 1)),
        ("1\n", (False, 0, 1)),
        ("", (False, 0, 1)),
    ],
)
def test_pairs_are_found(text, found):
    assert find_pairs([line.split(",") for line in text.split("\n") if line]) == found


@pytest.mark.parametrize(
    "text", ["movie,x\n1,2", "rank,a,b\n1,2,3", "x,rating\n1,2", "1,2,3,4,5\n1,2,3,4,5"]
)
def test_pairs_that_are_not_known_for_sure(text):
    with pytest.raises(ValueError, match="does not tell the columns of user and item"):
        find_pairs([line.split(",") for line in text.split("\n")])
