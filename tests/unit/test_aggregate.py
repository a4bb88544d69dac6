"""What an aggregate promises without any store."""

import copy
import pickle
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID, uuid4

import pytest
from pydantic import BaseModel, Field, PrivateAttr

from cassorm import Event, MemoryEventStore
from cassorm.aggregates.aggregate import Aggregate, aggregate
from cassorm.aggregates.handlers import apply
from cassorm.errors import AggregateError


class OrderPlaced(Event):
    customer: str


class LineAdded(Event):
    sku: str
    amount: Decimal


class LineReturned(Event):
    sku: str
    amount: Decimal


class OrderPaid(Event):
    pass


class OrderViewed(Event):
    pass


class Note(Event):
    text: str


class LongNote(Note):
    pages: int


class NotPlacedError(Exception):
    pass


@aggregate("Order", ignore=[OrderViewed])
class Order(Aggregate):
    customer: str | None = None
    total: Decimal = Decimal(0)
    lines: list[str] = Field(default_factory=list)
    paid: bool = False
    notes: int = 0

    @classmethod
    def place(cls, order_id: UUID, customer: str) -> "Order":
        order = cls(order_id)
        order.emit(OrderPlaced(customer=customer))
        return order

    def add(self, sku: str, amount: Decimal) -> None:
        if self.customer is None:
            raise NotPlacedError
        self.emit(LineAdded(sku=sku, amount=amount))

    def pay(self) -> None:
        if not self.paid:
            self.emit(OrderPaid())

    @apply
    def _(self, event: OrderPlaced) -> None:
        self.customer = event.customer

    @apply
    def _(self, event: LineAdded | LineReturned) -> None:
        sign = 1 if isinstance(event, LineAdded) else -1
        self.total += sign * event.amount
        self.lines.append(event.sku)

    @apply(OrderPaid)
    def _(self, _event: OrderPaid) -> None:
        self.paid = True

    @apply
    def _(self, _event: Note) -> None:
        self.notes += 1


def test_a_new_aggregate_is_blank_at_version_0() -> None:
    id_ = uuid4()
    order = Order(id_)
    assert (order.id, order.version, order.uncommitted_events, order.append_id) == (id_, 0, (), None)
    assert (order.customer, order.total, order.lines, order.paid) == (None, Decimal(0), [], False)
    assert Order("o-1").id == "o-1"


def test_a_factory_returns_an_aggregate_with_its_first_event() -> None:
    order = Order.place(uuid4(), "c1")
    assert order.customer == "c1"
    assert order.version == 1
    assert order.uncommitted_events == (OrderPlaced(customer="c1"),)


def test_every_handler_named_underscore_folds_its_own_event() -> None:
    order = Order.place(uuid4(), "c1")
    order.add("a", Decimal("2.50"))
    order.raise_event(LineReturned(sku="b", amount=Decimal("0.50")))
    order.pay()
    assert (order.total, order.lines, order.paid, order.version) == (Decimal("2.00"), ["a", "b"], True, 4)


def test_a_command_that_changes_nothing_emits_nothing() -> None:
    order = Order.place(uuid4(), "c1")
    order.pay()
    order.pay()
    assert [type(event) for event in order.uncommitted_events] == [OrderPlaced, OrderPaid]


def test_an_invariant_raises_the_users_own_error_and_emits_nothing() -> None:
    order = Order(uuid4())
    with pytest.raises(NotPlacedError):
        order.add("a", Decimal(1))
    assert (order.version, order.uncommitted_events) == (0, ())


def test_mutable_defaults_are_not_shared_between_aggregates() -> None:
    first = Order.place(uuid4(), "c1")
    first.add("a", Decimal(1))
    assert Order(uuid4()).lines == []


def test_the_append_id_is_kept_until_the_events_are_committed() -> None:
    order = Order(uuid4())
    assert order.append_id is None
    order.emit(OrderPlaced(customer="c1"))
    append_id = order.append_id
    assert append_id is not None
    order.pay()
    assert order.append_id == append_id
    order.mark_committed()
    assert (order.append_id, order.uncommitted_events, order.version) == (None, (), 2)
    order.add("a", Decimal(1))
    assert order.append_id not in (None, append_id)


async def test_from_events_takes_events_and_recorded_events_alike() -> None:
    events = [OrderPlaced(customer="c1"), LineAdded(sku="a", amount=Decimal(3)), OrderViewed(), OrderPaid()]
    id_ = uuid4()
    store = MemoryEventStore()
    await store.append(id_, events)
    order = Order.from_events(id_, events)
    assert (order.version, order.total, order.paid, order.uncommitted_events) == (4, Decimal(3), True, ())
    assert Order.from_events(id_, await store.get_events(id_)) == order
    assert Order.from_events(id_, iter(events)) == order


async def test_from_events_refuses_recorded_events_with_a_gap() -> None:
    id_ = uuid4()
    store = MemoryEventStore()
    await store.append(id_, [OrderPlaced(customer="c1"), OrderPaid(), OrderPaid()])
    first, _, third = await store.get_events(id_)
    with pytest.raises(AggregateError, match="got version 3 where 2 comes next"):
        Order.from_events(id_, [first, third])


def test_an_event_without_a_handler_is_an_error_that_names_aggregate_and_event() -> None:
    class Unheard(Event):
        pass

    with pytest.raises(AggregateError, match=r"aggregate Order: has no handler for event Unheard.*ignore=\[Unheard\]"):
        Order(uuid4()).emit(Unheard())
    with pytest.raises(AggregateError, match="has no handler for event Unheard"):
        Order.from_events(uuid4(), [Unheard()])


def test_an_ignored_event_counts_and_changes_nothing() -> None:
    order = Order.place(uuid4(), "c1")
    before = order.model_dump()
    order.emit(OrderViewed())
    assert order.version == 2
    assert order.model_dump() == before


def test_a_handler_of_a_base_event_takes_its_subclasses() -> None:
    order = Order.place(uuid4(), "c1")
    order.emit(LongNote(text="...", pages=3))
    order.emit(Note(text="..."))
    assert order.notes == 2


@pytest.mark.parametrize("value", [None, 3, "OrderPlaced", OrderPlaced, {"customer": "c1"}])
def test_what_is_no_event_cannot_be_emitted(value: Any) -> None:
    order = Order(uuid4())
    with pytest.raises(AggregateError, match="is no event"):
        order.emit(value)
    assert order.version == 0


def test_fields_are_set_in_handlers_only() -> None:
    order = Order.place(uuid4(), "c1")
    with pytest.raises(AggregateError, match=r"Order .*: sets total outside an @apply method.*Emit an event"):
        order.total = Decimal(5)
    with pytest.raises(ValueError, match="no field"):
        order.totl = Decimal(5)  # type: ignore[attr-defined]
    assert order.total == 0


def test_the_api_of_an_aggregate_cannot_be_set() -> None:
    order = Order(uuid4())
    for name in ("id", "version", "uncommitted_events", "append_id"):
        with pytest.raises((AttributeError, ValueError)):
            setattr(order, name, 3)
    assert order.version == 0


def test_a_handler_must_not_emit() -> None:
    class Chain(Aggregate):
        done: bool = False

        @apply
        def _(self, event: OrderPlaced) -> None:
            self.emit(OrderPaid())

        @apply
        def _(self, event: OrderPaid) -> None:
            self.done = True

    chain = Chain(uuid4())
    with pytest.raises(AggregateError, match="emits OrderPaid within an @apply method"):
        chain.emit(OrderPlaced(customer="c1"))
    assert chain.uncommitted_events == ()


def test_an_aggregate_whose_handler_raised_midway_takes_no_further_events() -> None:
    class Fragile(Aggregate):
        count: int = 0

        @apply
        def _(self, event: OrderPlaced) -> None:
            self.count += 1
            raise ZeroDivisionError

        @apply
        def _(self, event: OrderPaid) -> None: ...

    fragile = Fragile(uuid4())
    with pytest.raises(ZeroDivisionError):
        fragile.emit(OrderPlaced(customer="c1"))
    with pytest.raises(AggregateError, match="half-way through OrderPlaced"):
        fragile.emit(OrderPaid())
    assert (fragile.version, fragile.uncommitted_events) == (0, ())


def test_copies_and_pickles_share_nothing_with_the_original() -> None:
    order = Order.place(uuid4(), "c1")
    order.add("a", Decimal(1))
    for twin in (copy.deepcopy(order), pickle.loads(pickle.dumps(order)), order.model_copy(deep=True)):
        assert twin == order
        assert (twin.id, twin.append_id, twin.uncommitted_events) == (
            order.id,
            order.append_id,
            order.uncommitted_events,
        )
        twin.add("b", Decimal(1))
        assert twin != order
        # Other events are another append: under one id the store would take the second for the first.
        assert twin.append_id != order.append_id
    assert order.lines == ["a"]
    assert order.version == 2
    append_id = order.append_id
    order.add("c", Decimal(1))
    assert order.append_id != append_id
    shallow = copy.copy(order)
    shallow.pay()
    assert (order.version, order.paid) == (3, False)


def test_equality_is_by_class_id_version_and_state() -> None:
    id_ = uuid4()
    history: list[Event] = [OrderPlaced(customer="c1"), OrderPaid()]
    assert Order.from_events(id_, history) == Order.from_events(id_, history)
    assert Order.from_events(id_, history) != Order.from_events(uuid4(), history)
    assert Order.from_events(id_, history) != Order.from_events(id_, history[:1])
    assert Order.from_events(id_, [*history, OrderViewed()]) != Order.from_events(id_, history)
    assert Order(id_) != object()
    with pytest.raises(TypeError, match="unhashable"):
        hash(Order(id_))


def test_its_repr_names_class_id_version_and_state() -> None:
    order = Order.place(uuid4(), "c1")
    assert repr(order).startswith(f"Order(id={order.id!r}, version=1, customer='c1'")


@pytest.mark.parametrize("id_", [None, 3, b"x", 1.5])
def test_an_id_of_the_wrong_type_is_refused(id_: Any) -> None:
    with pytest.raises(AggregateError, match=r"not an id\. Pass a uuid\.UUID"):
        Order(id_)


def test_state_cannot_be_passed_to_the_constructor() -> None:
    with pytest.raises(TypeError):
        Order(uuid4(), total=Decimal(3))  # type: ignore[call-arg]


class TestDeclaration:
    def test_the_type_is_named_by_decorator_keyword_or_class(self) -> None:
        class Plain(Aggregate):
            pass

        class Named(Aggregate, name="Other", snapshot_schema_version=3):
            pass

        @aggregate("Third", snapshot_schema_version=4)
        class Decorated(Aggregate):
            pass

        declared = [(cls.__aggregate_type__, cls.__snapshot_schema_version__) for cls in (Plain, Named, Decorated)]
        assert declared == [("Plain", 1), ("Other", 3), ("Third", 4)]

    def test_ignore_is_a_class_keyword_as_well(self) -> None:
        class Counter(Aggregate, ignore=(OrderViewed, Note)):
            pass

        counter = Counter.from_events(uuid4(), [OrderViewed(), LongNote(text="", pages=1)])
        assert counter.version == 2

    def test_a_subclass_inherits_fields_handlers_and_ignored_events_and_may_override(self) -> None:
        class Special(Order, name="SpecialOrder"):
            bonus: int = 0

            @apply
            def _(self, event: OrderPaid) -> None:
                self.bonus += 1

        special = Special.from_events(uuid4(), [OrderPlaced(customer="c1"), OrderPaid(), OrderViewed()])
        assert (special.customer, special.paid, special.bonus) == ("c1", False, 1)
        assert Special.__aggregate_type__ == "SpecialOrder"
        assert Order.from_events(uuid4(), [OrderPaid()]).paid is True

    def test_a_named_handler_is_overridden_by_its_name(self) -> None:
        class Parent(Aggregate):
            seen: str = ""

            @apply
            def on_paid(self, event: OrderPaid) -> None:
                self.seen = "parent"

        class Child(Parent):
            def on_paid(self, event: OrderPaid) -> None:
                super().on_paid(event)
                self.seen += " and child"

        assert Child.from_events(uuid4(), [OrderPaid()]).seen == "parent and child"

    def test_handlers_of_mixins_are_inherited(self) -> None:
        class Noted(Aggregate):
            notes: int = 0

            @apply
            def _(self, event: Note) -> None:
                self.notes += 1

        class Payable(Aggregate):
            paid: bool = False

            @apply
            def _(self, event: OrderPaid) -> None:
                self.paid = True

        class Both(Noted, Payable):
            pass

        both = Both.from_events(uuid4(), [Note(text=""), OrderPaid()])
        assert (both.notes, both.paid) == (1, True)

    def test_class_variables_and_properties_are_no_state(self) -> None:
        class Limited(Aggregate):
            LIMIT: ClassVar[int] = 3
            count: int = 0

            @property
            def full(self) -> bool:
                return self.count >= self.LIMIT

            @apply
            def _(self, event: OrderPaid) -> None:
                self.count += 1

        limited = Limited.from_events(uuid4(), [OrderPaid()] * 3)
        assert limited.full
        assert limited.model_dump() == {"count": 3}

    def test_a_field_without_a_default_is_refused(self) -> None:
        with pytest.raises(AggregateError, match=r"Bad\.total: has no default"):

            class Bad(Aggregate):
                total: Decimal

    @pytest.mark.parametrize("name", ["id", "version", "uncommitted_events", "emit", "append_id", "copy", "model_dump"])
    def test_a_field_whose_name_the_api_needs_is_refused_with_the_remedy(self, name: str) -> None:
        with pytest.raises(AggregateError, match=rf"Bad\.{name}: is a name of Aggregate.*Call the field {name}_"):
            type("Bad", (Aggregate,), {"__annotations__": {name: int}, name: 3, "__module__": __name__})

    def test_a_method_whose_name_the_api_needs_is_refused(self) -> None:
        with pytest.raises(AggregateError, match=r"Bad\.version: is a name of Aggregate"):

            class Bad(Aggregate):
                def version(self) -> int:  # type: ignore[override]
                    return 3

    def test_state_that_snapshots_could_not_hold_is_refused(self) -> None:
        with pytest.raises(AggregateError, match=r"Bad\._count: is private"):

            class Bad(Aggregate):
                _count: int = PrivateAttr(default=0)

        with pytest.raises(AggregateError, match=r"Worse\.count: is excluded"):

            class Worse(Aggregate):
                count: int = Field(default=0, exclude=True)

    @pytest.mark.parametrize("option", [{"frozen": True}, {"validate_assignment": True}, {"extra": "allow"}])
    def test_model_options_that_a_fold_cannot_keep_are_refused(self, option: Any) -> None:
        with pytest.raises(AggregateError, match=r"Bad\.model_config: .*(Remove it|Leave extra)"):
            type("Bad", (Aggregate,), {"model_config": option, "__module__": __name__})

    def test_two_handlers_for_one_event_are_refused(self) -> None:
        with pytest.raises(AggregateError, match=r"Bad\._: takes OrderPaid, and so does another"):

            class Bad(Aggregate):
                @apply
                def _(self, event: OrderPaid) -> None: ...

                @apply
                def _(self, event: OrderPaid | OrderPlaced) -> None: ...

    def test_a_handler_must_say_which_event_it_takes(self) -> None:
        with pytest.raises(AggregateError, match=r"Bad\._: does not say which event it takes"):

            class Bad(Aggregate):
                @apply
                def _(self, event) -> None: ...  # type: ignore[no-untyped-def]

        with pytest.raises(AggregateError, match=r"<class 'int'> is no event class"):

            class Worse(Aggregate):
                @apply
                def _(self, event: int) -> None: ...

        with pytest.raises(AggregateError, match=r"names an event that is not found here.*Write @apply"):

            class Worst(Aggregate):
                @apply
                def _(self, event: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821 - the point

        with pytest.raises(AggregateError, match=r"names no event"):

            class Empty(Aggregate):
                @apply()
                def _(self, event: OrderPaid) -> None: ...

    def test_an_annotation_may_be_text_and_name_the_class_itself_in_its_result(self) -> None:
        class Quoted(Aggregate):
            paid: bool = False

            @apply
            def _(self, event: "OrderPaid") -> "Quoted | None":
                self.paid = True
                return None

        assert Quoted.from_events(uuid4(), [OrderPaid()]).paid

    def test_a_handler_must_be_a_plain_method_of_self_and_event(self) -> None:
        with pytest.raises(AggregateError, match="is async or a generator"):

            class Bad(Aggregate):
                @apply
                async def _(self, event: OrderPaid) -> None: ...

        with pytest.raises(AggregateError, match=r"does not take \(self, event\)"):

            class Worse(Aggregate):
                @apply  # type: ignore[arg-type]
                def _(self, event: OrderPaid, more: int) -> None: ...

        with pytest.raises(AggregateError, match="is no plain method"):

            class Worst(Aggregate):
                @apply  # type: ignore[arg-type]
                @staticmethod
                def _(event: OrderPaid) -> None: ...

    def test_apply_outside_a_class_is_refused(self) -> None:
        with pytest.raises(AggregateError, match="is used outside the body of a class"):

            @apply
            def on_paid(self: Order, event: OrderPaid) -> None: ...

    @pytest.mark.parametrize("name", ["", "x" * 201, "a\nb"])
    def test_a_name_that_is_no_name_is_refused(self, name: str) -> None:
        with pytest.raises(AggregateError, match="is no printable text of 1 to 200 characters"):
            aggregate(name)(Order)
        assert Order.__aggregate_type__ == "Order"

    @pytest.mark.parametrize("schema_version", [0, -1, True, 1.5, "1", 2**31])
    def test_a_schema_version_that_is_none_is_refused(self, schema_version: Any) -> None:
        with pytest.raises(AggregateError, match="is not a whole number from 1"):
            type("Bad", (Aggregate,), {"__module__": __name__}, snapshot_schema_version=schema_version)

    def test_the_decorator_needs_a_name_and_an_aggregate_class(self) -> None:
        with pytest.raises(AggregateError, match=r"Write @aggregate\('Order'\)"):
            aggregate(Order)  # type: ignore[arg-type]

        class Other(BaseModel):
            pass

        with pytest.raises(AggregateError, match="is no aggregate class"):
            aggregate("Other")(Other)  # type: ignore[type-var]

    def test_ignore_takes_event_classes(self) -> None:
        for ignore in (OrderPaid, 3):
            with pytest.raises(AggregateError, match="is no list"):
                aggregate("X", ignore=ignore)(Order)  # type: ignore[arg-type]
        with pytest.raises(AggregateError, match="is no event class"):
            aggregate("X", ignore=["OrderPaid"])(Order)  # type: ignore[list-item]
